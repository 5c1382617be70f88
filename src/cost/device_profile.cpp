#include "espalier/cost/device_profile.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <system_error>

#include "device_sources.hpp"
#include "espalier/support/words.hpp"

namespace espalier::cost {
namespace {

bool is_file_name(const std::string& name) {
  return std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c == '/' || std::iscntrl(c) != 0; });
}

std::string hexadecimal(std::uint32_t address) { return fmt::format("{:#010x}", address); }

class Reader {
 public:
  Reader(const Json& document, std::string_view where) : document_(document), where_(where) {}

  Result<DeviceProfile> read() {
    DeviceProfile device;
    const Result<std::string> schema = json_field<std::string>(document_, "schema", where_);
    if (!schema.ok() || *schema != kDeviceSchema) {
      problem("schema", fmt::format("must be \"{}\"", kDeviceSchema));
    }
    device.name = text("name");
    if (!is_file_name(device.name)) {
      problem("name", "must hold neither / nor control characters: folders are named by it");
    }
    if (document_.contains("description")) device.description = text("description");
    if (document_.contains("target")) device.target = text("target");
    if (document_.contains("source")) device.source = text("source");
    if (document_.contains("sram_regions")) device.sram_regions = regions();
    device.isa = text("isa");
    device.sram = Bytes{positive("sram_bytes")};
    device.flash = Bytes{positive("flash_bytes")};
    device.clock_hz = positive("clock_hz");
    device.sram_base = address("sram_base");
    device.flash_base = address("flash_base");
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return device;
  }

 private:
  void problem(const char* key, std::string_view text) {
    problems_.push_back(fmt::format("{}: '{}' {}", where_, key, text));
  }

  std::string text(const char* key) {
    const Result<std::string> field = json_field<std::string>(document_, key, where_);
    if (field.ok() && !field->empty()) return *field;
    problem(key, "must be a text");
    return {};
  }

  std::int64_t positive(const char* key) {
    const Result<std::int64_t> field = json_field<std::int64_t>(document_, key, where_);
    if (field.ok() && *field > 0) return *field;
    problem(key, "must be an integer above 0");
    return 0;
  }

  std::vector<MemoryRegion> regions() {
    std::vector<MemoryRegion> all;
    const Json& list = document_["sram_regions"];
    if (!list.is_array() || list.empty()) {
      problem("sram_regions", "must be a list of regions");
      return all;
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      Reader reader(list[i], fmt::format("{}: sram_regions[{}]", where_, i));
      MemoryRegion region;
      region.name = reader.text("name");
      region.base = reader.address("base").value_or(0);
      region.bytes = Bytes{reader.positive("bytes")};
      if (!list[i].contains("base")) reader.problem("base", "must be an address");
      all.push_back(region);
      problems_.insert(problems_.end(), reader.problems_.begin(), reader.problems_.end());
    }
    return all;
  }

  // JSON has no hexadecimal numbers, and addresses in decimal tell a reader nothing.
  std::optional<std::uint32_t> address(const char* key) {
    if (!document_.contains(key)) return std::nullopt;
    const Result<std::string> field = json_field<std::string>(document_, key, where_);
    if (field.ok() && field->starts_with("0x")) {
      std::uint32_t value = 0;
      const char* end = field->data() + field->size();
      const auto [stop, error] = std::from_chars(field->data() + 2, end, value, 16);
      if (error == std::errc() && stop == end) return value;
    }
    problem(key, "must be an address such as \"0x20000000\"");
    return std::nullopt;
  }

  const Json& document_;
  std::string where_;
  std::vector<std::string> problems_;
};

}  // namespace

bool DeviceProfile::has_extension(std::string_view extension) const {
  std::string_view rest = isa;
  constexpr std::string_view kBase = "rv32";
  if (!rest.starts_with(kBase)) return false;
  rest.remove_prefix(kBase.size());
  const std::string_view letters = rest.substr(0, rest.find_first_of("_+"));
  if (extension.size() == 1) {
    const auto has = [&](char c) { return letters.find(c) != std::string_view::npos; };
    // g stands for imafd; d brings f with it.
    const char letter = extension.front();
    return has(letter) || (letter == 'f' && has('d')) ||
           (std::string_view("imafd").find(letter) != std::string_view::npos && has('g'));
  }
  for (std::size_t plus = 0; (plus = rest.find('+', plus)) != std::string_view::npos; ++plus) {
    const std::string_view named = rest.substr(plus + 1);
    if (named.substr(0, named.find_first_of("_+")) == extension) return true;
  }
  return false;
}

const std::vector<DeviceProfile>& shipped_devices() {
  static const std::vector<DeviceProfile> devices = [] {
    std::vector<DeviceProfile> all;
    for (const auto& [file, text] : device_sources()) {
      all.push_back(device_from_json(parse_json(text, file).value(), file).value());
    }
    return all;
  }();
  return devices;
}

const DeviceProfile& espalier_core() {
  const auto& all = shipped_devices();
  return *std::find_if(all.begin(), all.end(),
                       [](const DeviceProfile& d) { return d.name == "espalier-core"; });
}

Json to_json(const DeviceProfile& device) {
  Json document;
  document["schema"] = kDeviceSchema;
  document["name"] = device.name;
  if (!device.description.empty()) document["description"] = device.description;
  document["isa"] = device.isa;
  if (!device.target.empty()) document["target"] = device.target;
  document["sram_bytes"] = device.sram.count;
  document["flash_bytes"] = device.flash.count;
  document["clock_hz"] = device.clock_hz;
  if (device.sram_base) document["sram_base"] = hexadecimal(*device.sram_base);
  if (device.flash_base) document["flash_base"] = hexadecimal(*device.flash_base);
  for (const MemoryRegion& region : device.sram_regions) {
    document["sram_regions"].push_back(
        {{"name", region.name}, {"base", hexadecimal(region.base)}, {"bytes", region.bytes.count}});
  }
  if (!device.source.empty()) document["source"] = device.source;
  return document;
}

Result<DeviceProfile> device_from_json(const Json& document, std::string_view where) {
  return Reader(document, where).read();
}

Result<DeviceProfile> load_device(const std::filesystem::path& path) {
  ESPALIER_TRY(const Json document, read_json(path, kDeviceSchema));
  return device_from_json(document, path.string());
}

Result<DeviceProfile> find_device(const std::string& name_or_path) {
  std::vector<std::string> names;
  for (const DeviceProfile& device : shipped_devices()) {
    if (device.name == name_or_path) return device;
    names.push_back(device.name);
  }
  const std::filesystem::path path(name_or_path);
  std::error_code ignored;
  if (path.has_parent_path() || path.has_extension() || std::filesystem::exists(path, ignored)) {
    return load_device(path);
  }
  const std::string meant = nearest(name_or_path, names);
  return Error{
      ErrorKind::kUsage,
      fmt::format("device '{}' is not known{}; name one of {}, or a file of schema {}",
                  name_or_path, meant.empty() ? "" : fmt::format(", did you mean '{}'?", meant),
                  fmt::join(names, ", "), kDeviceSchema)};
}

}  // namespace espalier::cost
