"""Where things are when nobody says otherwise. Source: reference ux.md section D."""

DATASTORE = "/var/lib/tortie/state.db"
SOCKET = "/run/tortie/tortie.sock"
RUN_FOLDER = "/run/tortie"
CONFIG_FILE = "/etc/tortie/tortie.yaml"
FELIX_CONFIG = "/etc/calico/felix.cfg"
"""Source: reference config.md section 1."""
