# Debian's packages, and the patched libssh that script/bootstrap built.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
set(OPENSSL_USE_STATIC_LIBS OFF)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(Protobuf REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(date REQUIRED)
find_package(CURL REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(POSTGRES REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ARGON2 REQUIRED IMPORTED_TARGET libargon2)
pkg_check_modules(QRENCODE REQUIRED IMPORTED_TARGET libqrencode)
pkg_check_modules(LDAP REQUIRED IMPORTED_TARGET ldap)
pkg_check_modules(FIDO2 REQUIRED IMPORTED_TARGET libfido2)
pkg_check_modules(OATH REQUIRED IMPORTED_TARGET liboath)
pkg_check_modules(VTERM REQUIRED IMPORTED_TARGET vterm)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)

# libssh: the prefix comes from -DSALLYPORT_LIBSSH_PREFIX or from script/bootstrap --print-prefix.
if(NOT SALLYPORT_LIBSSH_PREFIX)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/script/bootstrap --print-prefix
    OUTPUT_VARIABLE bootstrap_output OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE bootstrap_status)
  if(NOT bootstrap_status EQUAL 0)
    message(FATAL_ERROR "script/bootstrap failed; run it by hand to see why")
  endif()
  string(REGEX REPLACE ".*\n" "" SALLYPORT_LIBSSH_PREFIX "${bootstrap_output}")
  set(SALLYPORT_LIBSSH_PREFIX "${SALLYPORT_LIBSSH_PREFIX}")
endif()
message(STATUS "libssh prefix: ${SALLYPORT_LIBSSH_PREFIX}")
add_library(sallyport_libssh STATIC IMPORTED)
set(libssh_archive ${SALLYPORT_LIBSSH_PREFIX}/lib/libssh.a)
if(NOT EXISTS ${libssh_archive})
  file(GLOB_RECURSE libssh_archive ${SALLYPORT_LIBSSH_PREFIX}/lib*/libssh.a)
endif()
set_target_properties(sallyport_libssh PROPERTIES
  IMPORTED_LOCATION "${libssh_archive}"
  INTERFACE_INCLUDE_DIRECTORIES ${SALLYPORT_LIBSSH_PREFIX}/include
  INTERFACE_COMPILE_DEFINITIONS LIBSSH_STATIC
  INTERFACE_LINK_LIBRARIES "OpenSSL::Crypto;Threads::Threads")

add_compile_definitions(SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION)
