// admin/api/definitions.h -- the policy as resources: each definition read, made, changed and taken away by itself.
//
// A change edits the files of the version in force (policy/access/edit.h) and goes the way of every policy: parsed, its own tests run,
// planned, approved by another person where four eyes are on, applied as a new version. Ids are stable: they are the names that the
// policy knows a thing by ("deploy@recs-1" for an account; a binding without a name by what it says, and by that id ever after).
#pragma once

#include "admin/api/call.h"

namespace sallyport::admin {

/// PUT, POST and DELETE of every kind; GET of one.
void serve_definition(const CallPtr& call);
/// GET /v1/{bindings,accounts,guard-rules,certificate-authorities}: lists that are made of definitions.
void list_definitions(const CallPtr& call);
/// Answers with `known` and what the policy files say about it; the ETag is that of the definition alone.
void reply_defined(const CallPtr& call, json::object known);

}  // namespace sallyport::admin
