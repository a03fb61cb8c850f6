import { deafFunction } from './stop-script.ts';

/** Name of the script below the pod's directory. */
export const deliverScriptPath = 'deliver-secrets';

/**
 * Puts the values of an app's secrets into its directory, and signals the app if it runs. The app
 * has this directory mounted, so later values replace the files in it, each by a rename. An app
 * that is not running reads them at its next start.
 *
 * A signal without a handler would be dropped or would end the app. Such an app, and one that is
 * just starting and may have read the old values, is restarted.
 */
export const deliverScript = `#!/bin/sh
# Delivers values of secrets to an app. Secrets are NAME:MODE:UID:GID.
set -eu
dir=$1 unit=$2 signal=$3
shift 3
umask 077
rm -rf "$dir.new"
mkdir -p "$dir.new"
for secret; do
  name=\${secret%%:*} rest=\${secret#*:}
  file=$dir.new/$name
  cat "$CREDENTIALS_DIRECTORY/$name" >"$file"
  chmod "\${rest%%:*}" "$file"
  chown "\${rest#*:}" "$file"
done
if [ -d "$dir" ]; then
  mv -f "$dir.new"/* "$dir"
  rmdir "$dir.new"
else
  # As a whole: an app never starts with a part of its values.
  chmod 0755 "$dir.new"
  mv "$dir.new" "$dir"
fi

${deafFunction}
facts=$(systemctl show -p MainPID -p SubState "$unit")
for fact in $facts; do
  case $fact in MainPID=*) pid=\${fact#*=} ;; *) state=\${fact#*=} ;; esac
done
case $state in
running)
  # Also the default action of an app that is not the first process would end it.
  if ! deaf "$pid" "$signal" 1; then
    kill "-$signal" "$pid" || true # it has just ended
    exit 0
  fi
  echo "<5>$unit has no handler for signal $signal and is restarted"
  ;;
start*) ;;
*) exit 0 ;;
esac
# Its start waits for the end of this script.
systemctl try-restart --no-block "$unit"
`;
