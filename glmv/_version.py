"""The version, in the one place the build reads it from."""

__version__ = "0.2.0"


def why_not_imported(error: ImportError, name: str, framework: str, needs: str, extra: str) -> ImportError:
    """An error of importing a framework -> one that says in a sentence what is missing or too old.

    Args:
        error: what came; one that is about something else is returned as it is.
        name: the package of ours that is imported.
        framework: as it is installed, such as "langchain-core".
        needs: the oldest version that will do.
        extra: of glmv, which installs it.
    """
    from importlib.metadata import PackageNotFoundError, version  # for mistakes alone, as `re` below

    module = framework.replace("-", "_")
    module = "llama_index" if module == "llama_index_core" else module
    if (error.name or "").partition(".")[0] != module:
        return error
    cure = f'pip install -U "glmv[{extra}]"'
    try:
        found = version(framework)
    except PackageNotFoundError:
        told = f"{name} needs {framework} {needs} or newer, which is not installed: {cure}"
        return ModuleNotFoundError(told, name=name)
    if _numbers(found) >= _numbers(needs):
        return error
    return ImportError(f"{name} needs {framework} {needs} or newer, and {found} is installed: {cure}", name=name)


def _numbers(version: str) -> tuple[int, ...]:
    import re

    return tuple(int(found[0]) for part in version.split(".") if (found := re.match(r"\d+", part)))
