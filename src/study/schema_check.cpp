#include "schema_check.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

// The library's headers do not pass our warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>
#pragma GCC diagnostic pop

#include "espalier/support/words.hpp"

namespace espalier::study {
namespace {

using Plain = nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

// The library writes a place as <root> [models] [0].
std::string place_of(const std::vector<std::string>& context) {
  std::string place;
  for (const std::string& step : context) {
    if (step == "<root>") continue;
    place +=
        '/' + (step.size() > 2 && step.front() == '[' ? step.substr(1, step.size() - 2) : step);
  }
  return place.empty() ? "/" : place;
}

// The part of the schema that speaks of a place, as far as it can be followed.
const Plain* schema_at(const Plain& schema, const std::vector<std::string>& context) {
  const Plain* at = &schema;
  for (const std::string& step : context) {
    if (step == "<root>") continue;
    const std::string name = step.substr(1, step.size() - 2);
    if (at->contains("items")) {
      at = &(*at)["items"];
    } else if (at->contains("properties") && (*at)["properties"].contains(name)) {
      at = &(*at)["properties"][name];
    } else {
      return nullptr;
    }
    if (at->contains("$ref")) {
      at = &schema.at(Plain::json_pointer((*at)["$ref"].get<std::string>().substr(1)));
    }
  }
  return at;
}

std::vector<std::string> members_of(const Plain* schema) {
  std::vector<std::string> names;
  if (schema == nullptr || !schema->contains("properties")) return names;
  for (const auto& [name, value] : (*schema)["properties"].items()) names.push_back(name);
  return names;
}

std::string quoted(const std::string& text) {
  const std::size_t last = text.rfind('\'');
  const std::size_t first =
      last == std::string::npos || last == 0 ? last : text.rfind('\'', last - 1);
  return first == std::string::npos ? "" : text.substr(first + 1, last - first - 1);
}

// What the schema asks of a value, in a few words.
std::string expectation(const Plain& schema) {
  if (schema.contains("const")) return schema["const"].dump();
  if (schema.contains("enum")) {
    std::string list;
    for (const Plain& value : schema["enum"]) list += (list.empty() ? "" : ", ") + value.dump();
    return "one of " + list;
  }
  std::string text;
  if (schema.contains("type")) {
    const std::string type = schema["type"].get<std::string>();
    text = type == "array"     ? "a list"
           : type == "object"  ? "an object"
           : type == "integer" ? "an integer"
           : type == "boolean" ? "true or false"
                               : "a " + type;
  }
  const auto bound = [&](const char* key, const char* words) {
    if (schema.contains(key)) text += fmt::format("{} {}", words, schema[key].dump());
  };
  bound("minimum", ", at least");
  bound("exclusiveMinimum", ", above");
  bound("maximum", ", at most");
  bound("minItems", " with at least this many entries:");
  bound("pattern", " that matches");
  if (schema.contains("uniqueItems")) text += ", no entry twice";
  if (text.empty() && schema.contains("oneOf")) {
    for (const Plain& choice : schema["oneOf"]) {
      text += (text.empty() ? "" : ", or ") + expectation(choice);
    }
  }
  return text;
}

std::string explain(const valijson::ValidationResults::Error& error, const Plain& schema) {
  const Plain* at = schema_at(schema, error.context);
  const bool unknown = error.description.find("additionalProperties") != std::string::npos;
  const bool missing = error.description.find("required property") != std::string::npos;
  if (unknown) {
    const std::string name = quoted(error.description);
    const std::vector<std::string> known = members_of(at);
    const std::string meant = nearest(name, known);
    return fmt::format("'{}' is not known here; {}", name,
                       meant.empty() ? fmt::format("there are {}", fmt::join(known, ", "))
                                     : fmt::format("did you mean '{}'?", meant));
  }
  if (missing) return fmt::format("'{}' is missing", quoted(error.description));
  const std::string expected = at == nullptr ? "" : expectation(*at);
  return expected.empty() ? error.description : "must be " + expected;
}

}  // namespace

Status check_schema(const Json& document, std::string_view schema, std::string_view where) {
  const Plain rules = Plain::parse(schema);
  const Plain plain = Plain::parse(json_text(document));
  valijson::Schema parsed;
  valijson::SchemaParser().populateSchema(NlohmannJsonAdapter(rules), parsed);
  valijson::ValidationResults results;
  if (valijson::Validator().validate(parsed, NlohmannJsonAdapter(plain), &results)) return Ok{};
  std::vector<std::string> problems;
  for (const valijson::ValidationResults::Error& error : results) {
    // Beside each fault the library reports every object that contains it.
    if (error.description.rfind("Failed to validate against schema associated with property", 0) ==
            0 ||
        error.description.rfind("Failed to validate item #", 0) == 0 ||
        error.description.rfind("Failed to validate against child schema", 0) == 0) {
      continue;
    }
    std::string text =
        fmt::format("{}: {}: {}", where, place_of(error.context), explain(error, rules));
    if (problems.empty() || problems.back() != text) problems.push_back(std::move(text));
  }
  if (problems.empty()) problems.push_back(fmt::format("{}: does not match its schema", where));
  return Error{ErrorKind::kBadInput, problems};
}

}  // namespace espalier::study
