// app/verbs/doctor_machine.h -- what `sallyport doctor` finds out about the machine and about a gateway that runs on it.
#pragma once

#include <functional>
#include <string>

#include "app/config.h"
#include "app/verbs/console.h"

namespace sallyport::app {

/// check, is it good, is it required, what was found, what to do when it is not good.
using TellFinding = std::function<void(const std::string&, bool, bool, const std::string&, const std::string&)>;

/// Clock, memory that goes to disk, core files, who else may write where we do, addresses, certificate of the admin API.
void check_machine(const Config& config, const TellFinding& tell);
/// What the running gateway says about itself: that it answers, policy, vault, recorder, alarms. One finding when it does not run.
void check_running(const Common& common, const Config& config, const TellFinding& tell);

/// What to do about a layer of the sandbox that is not there.
[[nodiscard]] std::string remedy_of_layer(const std::string& name);

}  // namespace sallyport::app
