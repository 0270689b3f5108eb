// Boost.JSON's own code is compiled once, here; everybody else includes <boost/json.hpp> in .cpp files only.
#include <boost/json/src.hpp>
