import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import { quote } from './fault.ts';
import { textThat } from './fields.ts';
import type { AcIdentifier, AcName, ImageId } from './types.ts';

/**
 * Longest AC Identifier. The specification sets no bound; names become directories and topics,
 * which have one.
 */
const maxIdentifierLength = 512;
/** Longest AC Name, for the same reason. */
const maxNameLength = 128;

// types.md gives `^[a-z0-9]+([-._~/][a-z0-9]+)*$`, which excludes its own example
// `example.com/~user/app_v1`; so `~` may also begin a path segment. Empty segments, `.` and `..`
// stay excluded.
const identifierGrammar = /^[a-z0-9]+(?:(?:[-._~]|\/~?)[a-z0-9]+)*$/;
const nameGrammar = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const imageIdGrammar = /^sha512-[0-9a-f]{128}$/;

/** Whether `text` is an AC Identifier (types.md#ac-identifier-type) of at most 512 characters. */
export function isAcIdentifier(text: string): text is AcIdentifier {
  return text.length <= maxIdentifierLength && identifierGrammar.test(text);
}

/** Whether `text` is an AC Name (types.md#ac-name-type) of at most 128 characters. */
export function isAcName(text: string): text is AcName {
  return text.length <= maxNameLength && nameGrammar.test(text);
}

/**
 * Whether `text` is an image ID: `sha512-` and 128 lower-case hex digits (types.md#image-id-type,
 * aci.md#image-id).
 */
export function isImageId(text: string): text is ImageId {
  return imageIdGrammar.test(text);
}

const expectedIdentifier =
  'an AC Identifier: lower-case letters and digits with single - . _ ~ / between them, such as "example.com/app"';
const expectedName =
  'an AC Name: lower-case letters and digits with single dashes between them, such as "reduce-worker"';
const expectedImageId = 'an image ID: "sha512-" and 128 lower-case hex digits';

export const acIdentifier = textThat(isAcIdentifier, expectedIdentifier);
export const acName = textThat(isAcName, expectedName);
export const imageId = textThat(isImageId, expectedImageId);

/** `text` as an AC Identifier. @throws Refusal with `code` */
export function parseAcIdentifier(text: string, code: RefusalCode = 'input-invalid'): AcIdentifier {
  if (!isAcIdentifier(text)) throw new Refusal(code, `expected ${expectedIdentifier}, found ${quote(text)}`);
  return text;
}

/** `text` as an AC Name. @throws Refusal with `code` */
export function parseAcName(text: string, code: RefusalCode = 'input-invalid'): AcName {
  if (!isAcName(text)) throw new Refusal(code, `expected ${expectedName}, found ${quote(text)}`);
  return text;
}

/** `text` as an image ID. @throws Refusal with `code` */
export function parseImageId(text: string, code: RefusalCode = 'input-invalid'): ImageId {
  if (!isImageId(text)) throw new Refusal(code, `expected ${expectedImageId}, found ${quote(text)}`);
  return text;
}

/**
 * The AC Name nearest to `text` (`example.com/app_1` → `example-com-app-1`), used to name an app
 * after its image; undefined when no letter or digit remains.
 */
export function sanitizeAcName(text: string): AcName | undefined {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, maxNameLength)
    .replace(/^-|-$/g, '');
  return isAcName(name) ? name : undefined;
}

/** The AC Identifier nearest to `text`; undefined when no letter or digit remains. */
export function sanitizeAcIdentifier(text: string): AcIdentifier | undefined {
  const identifier = text
    .toLowerCase()
    .replace(/[^a-z0-9._~/-]/g, '_')
    .replace(/[-._~/]*?(\/~|[-._~/])(?![-._~/])/g, '$1')
    .slice(0, maxIdentifierLength)
    .replace(/^[-._~/]+|[-._~/]+$/g, '');
  return isAcIdentifier(identifier) ? identifier : undefined;
}
