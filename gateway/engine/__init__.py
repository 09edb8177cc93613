"""The judgement: path, route, caller, permission, consequences."""
