import type { RefusalCode } from '../../core/refusal/index.ts';
import { pointerTo, quote, refuseFaults, SchemaFault } from './fault.ts';
import { Fields, listOf, type Read } from './fields.ts';
import { acIdentifier } from './identifiers.ts';
import { isolatorRule, typedIsolator, type IsolatorScope, type TypedIsolator } from './isolators.ts';
import type { Isolator, JsonValue } from './types.ts';

const isolator: Read<Isolator> = (value, at) => {
  const fields = new Fields(value, at, ['name', 'value']);
  return { name: fields.required('name', acIdentifier), value: fields.required('value', anyValue) };
};

const anyValue: Read<JsonValue> = (value) => value;

/**
 * The isolators of an app or a pod, each checked by its rule. Refuses duplicates and combinations
 * that exclude each other, among the known ones.
 */
export function isolatorList(scope: IsolatorScope): Read<readonly Isolator[]> {
  return (value, at) => {
    const list = listOf(isolator)(value, at);
    typedIsolators(list, scope, at);
    return list;
  };
}

/**
 * The checked isolators of an app or a pod, in their order; unknown ones are kept, because they
 * must be reported as ignored (ace.md#isolators).
 * @throws Refusal with `code`, by default pod-isolator-invalid
 */
export function parseIsolators(
  list: readonly Isolator[],
  scope: IsolatorScope,
  code: RefusalCode = 'pod-isolator-invalid',
): readonly TypedIsolator[] {
  return refuseFaults(code, 'isolators', () => typedIsolators(list, scope, ''));
}

/** One checked isolator. @throws Refusal with `code`, by default pod-isolator-invalid */
export function parseIsolator(
  value: Isolator,
  scope: IsolatorScope,
  code: RefusalCode = 'pod-isolator-invalid',
): TypedIsolator {
  return refuseFaults(code, `isolator ${quote(value.name)}`, () => typedIsolator(value, scope, ''));
}

function typedIsolators(
  list: readonly Isolator[],
  scope: IsolatorScope,
  at: string,
): readonly TypedIsolator[] {
  const names = new Set<string>();
  return list.map((member, index) => {
    const place = pointerTo(at, index);
    const typed = typedIsolator(member, scope, place);
    if (typed.kind !== 'unknown') {
      if (names.has(typed.kind)) throw new SchemaFault(place, `the isolator "${typed.kind}" is there twice`);
      const excluded = isolatorRule(typed.kind)?.excludes;
      if (excluded !== undefined && names.has(excluded)) {
        throw new SchemaFault(place, `the isolator "${typed.kind}" cannot stand beside "${excluded}"`);
      }
      names.add(typed.kind);
    }
    return typed;
  });
}
