/** Replaced by the version when bundling. */
export function wherryVersion(): string {
  return process.env['WHERRY_VERSION'] ?? 'development';
}
