"""The version. The build reads it from this file."""

__version__ = "0.2.0"


def why_not_imported(error: ImportError, name: str, framework: str, needs: str, extra: str) -> ImportError:
    """Returns an ImportError that says whether the framework is missing or too old, and how to install it.

    Args:
        error: the ImportError that was raised. It is returned unchanged if the framework is not its cause.
        name: the adapter package that failed to import, such as "langchain_glmv".
        framework: the distribution's name, such as "langchain-core".
        needs: the oldest version of the framework that works.
        extra: the extra of glmv that installs the framework.
    """
    from importlib.metadata import PackageNotFoundError, version  # imported only after an error, as `re` below

    module = framework.replace("-", "_")
    module = "llama_index" if module == "llama_index_core" else module
    if (error.name or "").partition(".")[0] != module:
        return error
    advice = f'pip install -U "glmv[{extra}]"'
    try:
        installed = version(framework)
    except PackageNotFoundError:
        message = f"{name} needs {framework} {needs} or newer, which is not installed: {advice}"
        return ModuleNotFoundError(message, name=name)
    if _numbers(installed) >= _numbers(needs):
        return error
    return ImportError(f"{name} needs {framework} {needs} or newer, and {installed} is installed: {advice}", name=name)


def _numbers(version: str) -> tuple[int, ...]:
    import re

    return tuple(int(match[0]) for part in version.split(".") if (match := re.match(r"\d+", part)))
