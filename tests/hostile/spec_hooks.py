"""What a specification cannot say, told to schemathesis."""
import json, re

import schemathesis

# The admin whose token the run has. The calls that delete an admin or change
# a password are made as well, but of others, or the rest would be answered 401.
OWN = "sysadmin"

# Refusals that depend on what was sent before, not on the form.
BY_STATE = (
    "this Idempotency-Key was sent before with another body",
    "nothing was changed: all_or_nothing was asked for",
)


@schemathesis.hook
def before_call(context, case, kwargs):
    named = (case.path_parameters or {}).get("username")
    if str(named).strip().casefold() == OWN:
        case.path_parameters["username"] = "somebody-else"


@schemathesis.hook
def filter_failure(context, failure, case, response):
    try:
        answer = json.loads(response.content)
    except ValueError:
        return True
    # Coverage of 4.32 sends "If-Match: 0" as valid, whatever the pattern is.
    tag = (case.headers or {}).get("If-Match")
    if response.status_code == 400 and tag is not None and type(failure).__name__ == "RejectedPositiveData":
        pattern = next(p["schema"]["pattern"] for p in case.operation.definition.raw["parameters"] if p["name"] == "If-Match")
        return bool(re.search(pattern, tag))
    if response.status_code == 422 and type(failure).__name__ == "RejectedPositiveData":
        return not answer["detail"].startswith(BY_STATE)
    # A batch is accepted, and tells of each item in it whether it was.
    is_batch = case.operation.path == "/api/sites/batch"
    if is_batch and response.status_code == 200 and type(failure).__name__ == "AcceptedNegativeData":
        return answer["refused"] == 0
    return True
