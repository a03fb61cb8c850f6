import { SchemaFault, unexpected } from './fault.ts';
import type { Read } from './fields.ts';

/**
 * The version of the specification that this folder implements, and that manifests made here carry.
 */
const specVersion = '0.8.11';

// The grammar that semver.org 2.0.0 gives, with bounded repetition left to the length check.
const semVer =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$/;

/**
 * Whether `text` is a version by SemVer 2.0.0 (types.md#ac-version-type), at most 64 characters.
 */
export function isSemVer(text: string): boolean {
  return text.length <= 64 && semVer.test(text);
}

/**
 * `acVersion`: a tagged version of the major series that is implemented (0); 0.0.0 was never
 * tagged.
 */
export const acVersion: Read<string> = (value, at) => {
  if (typeof value !== 'string' || !isSemVer(value) || value.startsWith('0.0.0')) {
    throw unexpected(at, `a version of the specification such as "${specVersion}"`, value);
  }
  if (!value.startsWith('0.'))
    throw new SchemaFault(at, `expected a version of the series 0, found "${value}"`);
  return value;
};
