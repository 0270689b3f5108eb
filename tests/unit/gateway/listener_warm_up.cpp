#include <catch2/catch.hpp>

#include "gateway/listener/warm_up.h"

using namespace sallyport;

TEST_CASE("the warm-up completes a connection with every key exchange and cipher that is offered",
          "[gateway][listener]") {
  const auto first = gateway::warm_up();
  INFO((first ? "" : first.error().detail));
  REQUIRE(first);
  REQUIRE(gateway::warm_up());  // the fork server does it again after each exec; so may a test
}
