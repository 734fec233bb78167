"""The platform as its documentation describes it: models, rules, errors, response shapes, endpoints."""
