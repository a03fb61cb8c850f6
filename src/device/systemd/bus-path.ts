/**
 * Object paths of units. systemd encodes every byte except ASCII letters and digits as `_hh`, and
 * also a leading digit (sd_bus_path_encode(3)). Querying the path of a unit that is not loaded
 * loads it.
 */
const prefix = '/org/freedesktop/systemd1/unit/';

/** `a-b.service` → `/org/freedesktop/systemd1/unit/a_2db_2eservice` */
export function unitObjectPath(unit: string): string {
  const label = Array.from(Buffer.from(unit, 'utf8'), (byte, index) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z]/.test(char) || (/[0-9]/.test(char) && index > 0)
      ? char
      : `_${byte.toString(16).padStart(2, '0')}`;
  });
  return prefix + label.join('');
}

/** The unit whose object has `path`; undefined when it is not a unit's. */
export function unitOfObjectPath(path: string): string | undefined {
  if (!path.startsWith(prefix)) return undefined;
  const bytes = path
    .slice(prefix.length)
    .replace(/_([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
