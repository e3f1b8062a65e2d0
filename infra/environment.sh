# The addresses of this shop, for every shell that activates .venv (which reads this file) and for
# every make target. A value that is already set is kept. Works in bash, zsh and sh.

_nudge_root="$(cd "$(dirname "$VIRTUAL_ENV")" && pwd)"

# Absolute, because Feast and Ray workers run elsewhere than the shell that started them.
NUDGE_HOME="${NUDGE_HOME:-$_nudge_root/.nudge}"
case "$NUDGE_HOME" in
    /*) ;;
    *) NUDGE_HOME="$PWD/$NUDGE_HOME" ;;
esac
export NUDGE_HOME

# feature_store.yaml names registry and online store by these variables. An address that we derived
# ourselves follows NUDGE_HOME when another home is activated in the same shell; one that you set
# stays.
if [ -z "${NUDGE_REGISTRY_URL:-}" ] || [ "$NUDGE_REGISTRY_URL" = "${_NUDGE_DERIVED_REGISTRY_URL:-}" ]; then
    export NUDGE_REGISTRY_URL="sqlite:///$NUDGE_HOME/registry.db"
    export _NUDGE_DERIVED_REGISTRY_URL="$NUDGE_REGISTRY_URL"
fi
if [ -z "${NUDGE_ONLINE_URL:-}" ] || [ "$NUDGE_ONLINE_URL" = "${_NUDGE_DERIVED_ONLINE_URL:-}" ]; then
    export NUDGE_ONLINE_URL="sqlite:///$NUDGE_HOME/online.db"
    export _NUDGE_DERIVED_ONLINE_URL="$NUDGE_ONLINE_URL"
fi
# Feast wants the driver named, and would rather not guess it.
case "$NUDGE_REGISTRY_URL" in
    postgres://* | postgresql://*) NUDGE_REGISTRY_URL="postgresql+psycopg://${NUDGE_REGISTRY_URL#*://}" ;;
esac
export NUDGE_HISTORY_LENGTH="${NUDGE_HISTORY_LENGTH:-200}"

# Plain `feast apply` finds the repository from any folder.
export FEAST_FS_YAML_FILE_PATH="${FEAST_FS_YAML_FILE_PATH:-$_nudge_root/feature_repo/feature_store.yaml}"
export FEAST_USAGE="${FEAST_USAGE:-False}"

# `bentoml build` copies its folder and never ends when the model store lies inside it.
_nudge_hash="$(printf %s "$NUDGE_HOME" | cksum | cut -d ' ' -f 1)"
if [ -z "${BENTOML_HOME:-}" ] || [ "$BENTOML_HOME" = "${_NUDGE_DERIVED_BENTOML_HOME:-}" ]; then
    export BENTOML_HOME="${XDG_DATA_HOME:-$HOME/.local/share}/nudge/$_nudge_hash/bentoml"
    export _NUDGE_DERIVED_BENTOML_HOME="$BENTOML_HOME"
fi
mkdir -p "$BENTOML_HOME"
export BENTOML_DO_NOT_TRACK="${BENTOML_DO_NOT_TRACK:-true}"
# BentoML listens on every interface unless told otherwise.
export BENTOML_HOST="${BENTOML_HOST:-127.0.0.1}"

# The text encoder comes from its wheel; no model hub is asked for anything.
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"
# Whoever reaches a Ray head runs code on it, so it asks for a token (docs/quickstart.md).
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
export RAY_USAGE_STATS_ENABLED="${RAY_USAGE_STATS_ENABLED:-0}"

unset _nudge_root _nudge_hash
