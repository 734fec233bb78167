"""A provider of LiteLLM for GLM-4V. Programs that use LiteLLM can use the features of glmv through it.

    import litellm, glmv_litellm
    glmv_litellm.register()
    litellm.completion("glmv/glm-4.6v", messages=[{"role": "user", "content": "Hello"}])

For LiteLLM's proxy, set `custom_handler` in `custom_provider_map` to `glmv_litellm.provider`.
"""

from glmv import why_not_imported as _why_not_imported

try:
    from glmv_litellm.provider import GLMVProvider, provider
    from glmv_litellm.registration import register
except ImportError as _error:
    raise _why_not_imported(_error, "glmv_litellm", "litellm", "1.91.5", "litellm") from None

GLMVProvider.__module__ = __name__

__all__ = ["GLMVProvider", "provider", "register"]
