/**
 * Escaping of strings for unit names, with the same result as systemd-escape(1); the rules are in
 * systemd.unit(5), "String escaping for inclusion in unit names".
 */

/** Longest unit name that systemd accepts (UNIT_NAME_MAX is 256 with the terminating NUL). */
export const unitNameMaxBytes = 255;

const verbatim = /[0-9A-Za-z:_.]/;

/**
 * Escapes a string for use inside a unit name: `/` becomes `-`; every byte except letters, digits,
 * `:`, `_` and `.` becomes `\xHH`, and so does a leading dot.
 * @throws Error for an empty string, one with NUL, or one that UTF-8 cannot encode: a bug of the
 *   caller
 */
export function escapeUnitName(text: string): string {
  if (text === '' || /\p{Surrogate}|\0/u.test(text)) {
    throw new Error(`cannot be part of a unit name: ${JSON.stringify(text)}`);
  }
  return Array.from(Buffer.from(text, 'utf8'), (byte, index) => {
    const char = String.fromCharCode(byte);
    if (char === '/') return '-';
    const plain = byte < 0x80 && verbatim.test(char) && !(char === '.' && index === 0);
    return plain ? char : `\\x${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

/**
 * Escapes an absolute path for the name of a mount unit: `/run/a b` becomes `run-a\x20b`, `/`
 * becomes `-`.
 * @throws Error for a path that is not absolute or has `..`: a bug of the caller
 */
export function escapeUnitPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (!path.startsWith('/') || parts.includes('..')) {
    throw new Error(`not an absolute path without "..": ${JSON.stringify(path)}`);
  }
  return parts.length === 0 ? '-' : escapeUnitName(parts.join('/'));
}
