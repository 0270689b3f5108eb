// recorder/shipping/store_options.h -- which object store, from the settings; and whether it does what is asked of it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/model/settings.h"
#include "recorder/shipping/s3_store.h"
#include "recorder/shipping/shipper.h"

namespace sallyport::recorder {

struct StoreSettings {
  std::string url;       ///< "s3://BUCKET/PREFIX" or "dir:/PATH"; empty: none
  std::string endpoint;  ///< empty: AWS of the region
  std::string region;
  bool virtual_host = false;
  std::string ca_file;
  std::string credentials;       ///< file: access_key = ..., secret_key = ...
  std::string read_credentials;  ///< of who may read; empty: the same
};
[[nodiscard]] StoreSettings store_settings(const Settings& settings);

enum class StoreUse { write, read };

/// Either kind of store. `s3` is set where it is one.
struct OpenedStore {
  std::unique_ptr<ObjectStore> store;
  S3Store* s3 = nullptr;
};
/// Errc::invalid names what is wrong with the settings or the credentials file (which nobody but its owner may read).
[[nodiscard]] Result<OpenedStore> open_store(const StoreSettings& settings, StoreUse use, Clock& clock, crypto::Random& random, unsigned attempts = 4);

/// How recordings are to be shipped. Errc::invalid: a retention rule is not right.
[[nodiscard]] Result<ShipOptions> ship_options(const Settings& settings);

struct StoreCheck {
  std::string name;  ///< write, read back, lock, no delete
  bool good = false;
  bool required = true;
  std::string detail;
};
/// Writes a probe, reads it back, looks at its lock and tries to remove it, as far as the two credentials may. `keep` zero: no lock is asked for.
[[nodiscard]] std::vector<StoreCheck> check_store(OpenedStore& writer, OpenedStore& reader, const std::string& node, std::chrono::seconds keep, bool compliance,
                                                  Clock& clock, crypto::Random& random);

}  // namespace sallyport::recorder
