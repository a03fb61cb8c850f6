import { Refusal, type RefusalCode } from '../../core/refusal/index.ts';
import { quote } from './fault.ts';
import { isAcIdentifier } from './identifiers.ts';
import type { AcIdentifier, NameValue } from './types.ts';

/** An image as a person names it. */
export interface ImageName {
  readonly name: AcIdentifier;
  readonly labels: readonly NameValue[];
}

/**
 * Reads `example.com/reduce-worker:1.0.0,channel=alpha` (discovery.md and the reference's
 * discovery/parse.go): the text after the colon is the label `version`; values are free text except
 * for comma and colon. A label may occur once.
 * @throws Refusal with `code`
 */
export function parseNameString(text: string, code: RefusalCode = 'input-invalid'): ImageName {
  const refuse = (problem: string): Refusal =>
    new Refusal(code, `image name ${quote(text)}: ${problem}; write NAME[:VERSION][,LABEL=VALUE]...`);
  if (text.length > 4096) throw refuse('it is longer than 4096 characters');
  const [head = '', ...rest] = text.split(',');
  const [name = '', ...versions] = head.split(':');
  if (!isAcIdentifier(name)) throw refuse(`${quote(name)} is not an AC Identifier`);
  const labels: NameValue[] = [];
  for (const part of [...versions.map((version) => `version=${version}`), ...rest]) {
    const [, label = '', value = ''] = /^([^=]*)=(.*)$/s.exec(part) ?? [];
    if (!isAcIdentifier(label) || label === 'name') throw refuse(`${quote(part)} is not LABEL=VALUE`);
    if (value === '') throw refuse(`the label ${quote(label)} has no value`);
    if (value.includes(':')) throw refuse('a colon may stand only once, after the name');
    if (labels.some((other) => other.name === label))
      throw refuse(`the label ${quote(label)} is there twice`);
    labels.push({ name: label, value });
  }
  return { name, labels };
}
