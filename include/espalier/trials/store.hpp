// Finished trials on disk, `espalier.trial/1`: one file each, named by the digest of everything
// that decides its result. A record is written whole or not at all, proves itself when it is read,
// and can answer for no other trial. Any number of processes may share a store.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::trials {

inline constexpr std::string_view kTrialSchema = "espalier.trial/1";

/// Where the record of a trial lies: the digest of its inputs, of the tool's version and of that of
/// the store's format.
struct Address {
  Json inputs;
  std::string digest;  ///< 64 hexadecimal digits
};

/// The address of a trial with these inputs (inputs_json()).
Address address_of(Json inputs);

/// The part 0..count - 1 of the trials that an address belongs to, in any store, on any machine.
int shard_of(const Address& address, int count);

/// Whether a file's name is that of a record.
bool is_record_name(std::string_view name);

class Store {
 public:
  /// A process's right to compute one trial; given up when it goes, or when the process ends.
  class Claim {
   public:
    Claim(int lock, std::int64_t at) : lock_(lock), at_(at) {}
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    int lock_;
    std::int64_t at_;
  };

  /// Opens a store, made where there is none. kCannotWrite when its folder cannot be written to.
  static Result<Store> open(const std::filesystem::path& folder);
  ~Store();
  Store(Store&& other) noexcept;
  Store& operator=(Store&&) = delete;

  /// The result of a trial; nullopt when there is none. kBadInput names a record that does not
  /// prove itself, which then counts for nothing: put() replaces it.
  [[nodiscard]] Result<std::optional<train::TrainResult>> find(const Address& address) const;

  /// Keeps a result. kCannotWrite, and the store holds what it held.
  [[nodiscard]] Status put(const Address& address, const train::TrainResult& result) const;

  /// Null while another process holds the claim. Where the file system has no locks everybody gets
  /// one: trials may be computed twice then, to the same result.
  [[nodiscard]] std::unique_ptr<Claim> claim(const Address& address) const;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// The file that holds a record, or would.
  [[nodiscard]] std::filesystem::path record(const Address& address) const;

 private:
  Store(std::filesystem::path folder, int lock) : folder_(std::move(folder)), lock_(lock) {}

  std::filesystem::path folder_;
  int lock_ = -1;  // descriptor of the file whose bytes are the claims
};

}  // namespace espalier::trials
