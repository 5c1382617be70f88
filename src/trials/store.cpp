#include "espalier/trials/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include "espalier/support/file.hpp"
#include "espalier/version.hpp"

namespace espalier::trials {
namespace {

// Of the records' form and of what a trial's inputs mean. Another number is another address, so
// that no version reads what it might misunderstand.
constexpr int kFormat = 1;

// One line with sorted keys: what digests are made of.
std::string canonical(const Json& json) { return nlohmann::json::parse(json_text(json)).dump(); }

Json to_json(const train::Evaluation& e) {
  Json json{{"loss", e.loss}, {"accuracy", e.accuracy}};
  if (e.confusion.classes > 0) json["confusion"] = e.confusion.counts;  // [label][prediction]
  return json;
}

Result<train::Confusion> confusion(const Json& counts, const std::string& where) {
  const auto side = static_cast<int>(std::lround(std::sqrt(static_cast<double>(counts.size()))));
  train::Confusion result(side);
  const bool numbers =
      counts.is_array() && std::all_of(counts.begin(), counts.end(),
                                       [](const Json& count) { return count.is_number_integer(); });
  if (!numbers || counts.size() != result.counts.size()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: 'confusion' is no square of counts", where)};
  }
  result.counts = counts.get<std::vector<std::int64_t>>();
  return result;
}

// A value that is no number is written as null.
Result<double> number_field(const Json& json, const char* key, const std::string& where) {
  ESPALIER_TRY(const Json member, json_field<Json>(json, key, where));
  if (member.is_null()) return std::numeric_limits<double>::quiet_NaN();
  return json_field<double>(json, key, where);
}

Result<train::Evaluation> evaluation(const Json& json, const char* key, const std::string& where) {
  ESPALIER_TRY(const Json member, json_field<Json>(json, key, where));
  train::Evaluation result;
  ESPALIER_TRY(result.loss, number_field(member, "loss", where));
  ESPALIER_TRY(result.accuracy, number_field(member, "accuracy", where));
  if (member.contains("confusion")) {
    ESPALIER_TRY(result.confusion, confusion(member["confusion"], where));
  }
  return result;
}

Json to_json(const train::TrainResult& result) {
  Json epochs = Json::array();
  for (const train::EpochResult& epoch : result.epochs) {
    Json row{{"train", to_json(epoch.train)}};
    if (epoch.test) row["test"] = to_json(*epoch.test);
    epochs.push_back(std::move(row));
  }
  Json json{{"epochs", std::move(epochs)},
            {"test", to_json(result.test)},
            {"images", result.images},
            {"seconds", result.seconds}};
  for (const train::Turn& turn : result.turns) {
    json["turns"].push_back({{"classes", turn.classes}, {"test", to_json(turn.test)}});
  }
  if (!result.kept.empty()) json["kept"] = result.kept;
  if (result.diverged) json["diverged_step"] = result.diverged_step;
  return json;
}

Result<train::TrainResult> result_from_json(const Json& json, const std::string& where) {
  train::TrainResult result;
  ESPALIER_TRY(const Json epochs, json_field<Json>(json, "epochs", where));
  for (const Json& row : epochs) {
    train::EpochResult epoch;
    ESPALIER_TRY(epoch.train, evaluation(row, "train", where));
    if (row.contains("test")) {
      ESPALIER_TRY(epoch.test, evaluation(row, "test", where));
    }
    result.epochs.push_back(epoch);
  }
  ESPALIER_TRY(result.test, evaluation(json, "test", where));
  ESPALIER_TRY(result.images, json_field<std::int64_t>(json, "images", where));
  ESPALIER_TRY(result.seconds, number_field(json, "seconds", where));
  for (const Json& row : json.value("turns", Json::array())) {
    train::Turn turn;
    ESPALIER_TRY(turn.classes, json_field<int>(row, "classes", where));
    ESPALIER_TRY(turn.test, evaluation(row, "test", where));
    result.turns.push_back(std::move(turn));
  }
  for (const Json& count : json.value("kept", Json::array())) {
    if (!count.is_number_integer()) {
      return Error{ErrorKind::kBadInput, fmt::format("{}: 'kept' holds what is no count", where)};
    }
    result.kept.push_back(count.get<int>());
  }
  if (json.contains("diverged_step")) {
    result.diverged = true;
    ESPALIER_TRY(result.diverged_step, json_field<std::int64_t>(json, "diverged_step", where));
  }
  return result;
}

// The text of a record. Its last member is the digest of the others.
std::string record_text(const Json& inputs, const Json& result) {
  Json document{{"schema", kTrialSchema}, {"inputs", inputs}, {"result", result}};
  document["sha256"] = sha256_hex(json_text(document));
  return json_text(document, 2) + "\n";
}

// Open file description locks belong to a descriptor, so that two stores of one process exclude
// each other as those of two processes do.
bool set_lock(int descriptor, std::int64_t at, short type) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = at;
  range.l_len = 1;
  if (::fcntl(descriptor, F_OFD_SETLK, &range) == 0) return true;
  return errno != EAGAIN && errno != EACCES;  // no locks here: go on without
}

std::int64_t leading(const Address& address, int digits) {
  return static_cast<std::int64_t>(
      std::stoull(address.digest.substr(0, static_cast<std::size_t>(digits)), nullptr, 16));
}

}  // namespace

Address address_of(Json inputs) {
  Json whole{{"format", kFormat}, {"tool_version", kVersion}};
  whole.update(inputs);
  whole =
      Json::parse(json_text(whole));  // as it will be read: bytes that are no UTF-8 are replaced
  std::string digest = sha256_hex(canonical(whole));
  return {std::move(whole), std::move(digest)};
}

int shard_of(const Address& address, int count) {
  return static_cast<int>(leading(address, 12) % count);
}

bool is_record_name(std::string_view name) {
  constexpr std::size_t kDigits = 64;
  return name.size() > kDigits && name.substr(kDigits) == ".json" &&
         name.substr(0, kDigits).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Store::Claim::~Claim() { set_lock(lock_, at_, F_UNLCK); }

Result<Store> Store::open(const std::filesystem::path& folder) {
  const auto fail = [&](const std::string& why) {
    return Error{ErrorKind::kCannotWrite,
                 fmt::format("{}: no store of trials can be kept there: {}; choose another place",
                             folder.string(), why)};
  };
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (!std::filesystem::is_directory(folder)) {
    return fail(code ? code.message() : "is not a directory");
  }
  const std::filesystem::path lock = folder / "lock";
  const int descriptor = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return fail(std::generic_category().message(errno));
  remove_stale_temporaries(folder);
  return Store(folder, descriptor);
}

Store::~Store() {
  if (lock_ >= 0) ::close(lock_);
}

Store::Store(Store&& other) noexcept
    : folder_(std::move(other.folder_)), lock_(std::exchange(other.lock_, -1)) {}

std::filesystem::path Store::record(const Address& address) const {
  return folder_ / (address.digest + ".json");
}

Result<std::optional<train::TrainResult>> Store::find(const Address& address) const {
  const std::filesystem::path path = record(address);
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<train::TrainResult>();
  ESPALIER_TRY(const std::string text, read_file(path));
  const std::string where = path.string();
  const auto damaged = [&](std::string_view how) {
    return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, how)};
  };
  const Result<Json> json = parse_json(text, where);
  if (!json.ok()) return damaged("cut short or damaged");
  const Result<Json> inputs = json_field<Json>(*json, "inputs", where);
  const Result<Json> result = json_field<Json>(*json, "result", where);
  // Every byte counts: what is read must be what would be written.
  if (!inputs.ok() || !result.ok() || text != record_text(*inputs, *result)) {
    return damaged("does not match its digest");
  }
  if (*inputs != address.inputs) return damaged("is of another trial");
  ESPALIER_TRY(train::TrainResult read, result_from_json(*result, where));
  return std::optional(std::move(read));
}

Status Store::put(const Address& address, const train::TrainResult& result) const {
  return write_file_atomic(record(address), record_text(address.inputs, to_json(result)));
}

std::unique_ptr<Store::Claim> Store::claim(const Address& address) const {
  const std::int64_t at = leading(address, 15);
  if (!set_lock(lock_, at, F_WRLCK)) return nullptr;
  return std::make_unique<Claim>(lock_, at);
}

}  // namespace espalier::trials
