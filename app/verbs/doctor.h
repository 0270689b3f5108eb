// app/verbs/doctor.h -- `sallyport doctor`: what of this machine helps, what is missing, and what that costs.
#pragma once

#include "app/verbs/console.h"

namespace sallyport::app {

/// 0: sessions can be served here. 7: something that is required is missing.
int run_doctor(const Common& common);

}  // namespace sallyport::app
