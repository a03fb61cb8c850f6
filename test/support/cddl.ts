import { parse } from 'cddl';
import type { CborValue } from '../../src/core/cbor/index.ts';

/** The parser's output for a rule, a member or a type, as far as it is used here. */
interface Part {
  readonly Type: string | Part | readonly (string | Part)[];
  readonly Name?: string;
  readonly Value?: unknown;
  readonly PropertyType?: string | Part | readonly (string | Part)[];
  readonly Properties?: readonly Part[];
  readonly Values?: readonly Part[];
  readonly Operator?: Part;
  readonly Occurrence?: { readonly n: number; readonly m: number | null };
}

type Problems = readonly string[];

/**
 * Compares decoded CBOR with the rules of a CDDL file (RFC 8610). The package `cddl` reads the
 * file. This class supports the part of the language that docs/wire.cddl uses: maps, arrays,
 * choices of rules, ranges, `.size` and `.regexp`. Everything else throws, so that no rule is
 * skipped silently.
 */
export class Cddl {
  readonly #rules: ReadonlyMap<string, Part>;
  /** Members and rules that occurred in some value. */
  readonly #met = new Set<string>();

  constructor(path: string) {
    this.#rules = new Map((parse(path) as unknown as readonly Part[]).map((rule) => [rule.Name ?? '', rule]));
  }

  /** The parts of `value` that do not match the rule, as paths with reasons; empty if all match. */
  check(rule: string, value: CborValue): Problems {
    return this.#named(rule, value, rule);
  }

  /** Rules, and members of maps, that have occurred in no value so far. */
  get unmet(): readonly string[] {
    const all = [...this.#rules].flatMap(([name, rule]) => [
      name,
      ...(rule.Properties ?? []).map((member) => `${name}/${member.Name ?? ''}`),
    ]);
    return all.filter((name) => !this.#met.has(name));
  }

  #named(name: string, value: CborValue, path: string): Problems {
    const rule = this.#rules.get(name);
    if (rule === undefined) throw new Error(`there is no rule ${name}`);
    const problems =
      rule.Type === 'variable'
        ? this.#choice(rule.PropertyType, value, path)
        : this.#type(rule, value, path, name);
    if (problems.length === 0) this.#met.add(name);
    return problems;
  }

  #choice(types: Part['PropertyType'], value: CborValue, path: string): Problems {
    let fewest: Problems | undefined;
    for (const type of [types].flat() as readonly (string | Part)[]) {
      const problems = this.#type(type, value, path);
      if (problems.length === 0) return [];
      if (fewest === undefined || problems.length < fewest.length) fewest = problems;
    }
    return fewest ?? unknown(types);
  }

  #type(type: string | Part, value: CborValue, path: string, rule?: string): Problems {
    if (typeof type === 'string') return isPrimitive(type, value) ? [] : [`${path}: is not ${type}`];
    const { Type, Value, Operator } = type;
    switch (Type) {
      case 'array':
        return this.#array(type.Values ?? [], value, path);
      case 'group':
        if (typeof Value === 'string') return this.#named(Value, value, path);
        return this.#map(type.Properties ?? [], value, path, rule);
      case 'literal':
        return value === Value ? [] : [`${path}: is not ${String(Value)}`];
      case 'range':
        return isIn(boundsOf(type), value) ? [] : [`${path}: is out of range`];
      case 'text':
      case 'bytes':
        if (Operator === undefined) return unknown(type);
        return isPrimitive(Type, value) ? operate(Operator, value, path) : [`${path}: is not ${Type}`];
      default:
        return unknown(type);
    }
  }

  #array([member, ...others]: readonly Part[], value: CborValue, path: string): Problems {
    if (member === undefined || others.length > 0) return unknown(others);
    if (!Array.isArray(value)) return [`${path}: is not an array`];
    const members = value as readonly CborValue[];
    return [
      ...(isOften(member, members.length) ? [] : [`${path}: has ${members.length} members`]),
      ...members.flatMap((one, at) => this.#choice(member.Type, one, `${path}/${at}`)),
    ];
  }

  /** A key that may occur several times is the name of a rule that the keys match. */
  #map(members: readonly Part[], value: CborValue, path: string, rule?: string): Problems {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array)
      return [`${path}: is not a map`];
    const values = value as Readonly<Record<string, CborValue>>;
    const left = new Set(Object.keys(values));
    const problems: string[] = [];
    for (const member of members) {
      const { Name = '', Type, Occurrence } = member;
      const isPattern = Occurrence === undefined || (Occurrence.m ?? Infinity) > 1;
      const keys = [...left].filter((key) =>
        isPattern ? this.#named(Name, key, path).length === 0 : key === Name,
      );
      if (!isOften(member, keys.length)) problems.push(`${path}: has ${keys.length} of ${Name}`);
      for (const key of keys) {
        left.delete(key);
        if (rule !== undefined) this.#met.add(`${rule}/${Name}`);
        problems.push(...this.#choice(Type, values[key] ?? null, `${path}/${key}`));
      }
    }
    return [...problems, ...[...left].map((key) => `${path}/${key}: is unknown`)];
  }
}

function operate({ Type, Value }: Part, value: CborValue, path: string): Problems {
  if (Type === 'size') {
    const size = typeof value === 'string' ? Buffer.byteLength(value) : (value as Uint8Array).length;
    return isIn(boundsOf(Value as Part), size) ? [] : [`${path}: has ${size} bytes`];
  }
  if (Type !== 'regexp') return unknown(Type);
  const pattern = String((Value as Part).Value);
  return new RegExp(`^(?:${pattern})$`, 'u').test(value as string) ? [] : [`${path}: is not like ${pattern}`];
}

function isPrimitive(type: string, value: CborValue): boolean {
  if (type === 'bool') return typeof value === 'boolean';
  if (type === 'text') return typeof value === 'string';
  if (type === 'bytes') return value instanceof Uint8Array;
  return unknown(type);
}

/** The bounds of a range or of a single number. */
function boundsOf({ Type, Value }: Part): readonly [number, number] {
  if (Type === 'literal') return [Number(Value), Number(Value)];
  const { Min, Max, Inclusive } = Value as {
    readonly Min: Part;
    readonly Max: Part;
    readonly Inclusive: boolean;
  };
  return Type === 'range' && Inclusive ? [Number(Min.Value), Number(Max.Value)] : unknown(Value);
}

function isIn([least, most]: readonly [number, number], value: CborValue): boolean {
  return Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most;
}

/** The parser gives infinity for `*`. */
function isOften({ Occurrence }: Part, count: number): boolean {
  if (Occurrence === undefined) return unknown(Occurrence);
  return count >= Occurrence.n && count <= (Occurrence.m ?? Infinity);
}

function unknown(part: unknown): never {
  throw new Error(`this part of CDDL is not known here: ${JSON.stringify(part)}`);
}
