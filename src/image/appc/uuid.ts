import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import { quote } from './fault.ts';

/**
 * A pod's UUID in its canonical form, lower case with dashes (RFC 4122); upper case and a form
 * without dashes are read.
 * @throws Refusal with `code`
 */
export function parseUuid(text: string, code: RefusalCode = 'input-invalid'): string {
  const match = /^([0-9a-f]{8})(-?)([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{12})$/.exec(
    text.toLowerCase(),
  );
  if (match === null) throw new Refusal(code, `expected a UUID, found ${quote(text)}`);
  const [, a, , ...rest] = match;
  return [a, ...rest].join('-');
}
