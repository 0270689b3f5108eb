#include "admin/api/factor_answers.h"

#include <algorithm>
#include <boost/json.hpp>

#include "policy/authority/coded_error.h"
#include "policy/authority/qr_text.h"

namespace sallyport::admin {

void refuse_coded(const CallPtr& call, const Error& error) {
  const std::string code = authority::code_of(error);
  if (code == "SP-9301" || code == "SP-9304" || code == "SP-9306") return call->refuse_status(401, code, "");
  call->refuse_with(Error{error.code, error.code == Errc::denied ? std::string() : authority::reason_of(error)}, code, {});
}

json::array lines_of(std::string_view lines) {
  json::array out;
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    std::string_view line = lines.substr(0, end);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (!line.empty()) out.emplace_back(line);
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
  }
  return out;
}

void reply_once(const CallPtr& call, const json::object& body, unsigned status) {
  net::HttpResponse response;
  response.status = status;
  response.headers["Cache-Control"] = "no-store";
  response.body = json::serialize(body) + "\n";
  call->answer(std::move(response));
}

json::object shown_code(std::string_view uri) {
  json::array rows;
  for (const std::string& row : authority::qr_rows(uri)) rows.emplace_back(row);
  return json::object{{"uri", uri}, {"qr", std::move(rows)}};
}

}  // namespace sallyport::admin
