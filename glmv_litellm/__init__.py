"""GLM-4V in LiteLLM: a provider with which every program that uses LiteLLM can use the features of glmv.

    import litellm, glmv_litellm
    glmv_litellm.register()
    litellm.completion("glmv/glm-4.6v", messages=[{"role": "user", "content": "Hello"}])

LiteLLM's proxy takes `glmv_litellm.provider` as the `custom_handler` of a `custom_provider_map`.
"""

from glmv import why_not_imported as _why_not_imported

try:
    from glmv_litellm.provider import GLMVProvider, provider
    from glmv_litellm.registration import register
except ImportError as _error:
    raise _why_not_imported(_error, "glmv_litellm", "litellm", "1.91.5", "litellm") from None

GLMVProvider.__module__ = __name__

__all__ = ["GLMVProvider", "provider", "register"]
