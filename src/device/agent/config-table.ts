import { type AcName, parseAcName } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** The refusal for a key with a wrong value. @param expectation what the key accepts */
export function invalid(key: string, expectation: string): Refusal {
  return new Refusal('config-invalid', `wherry.toml: ${key} ${expectation}`);
}

/** A TOML table whose keys are taken one by one; keys left at the end are unknown. */
export class Table {
  private readonly values: Map<string, unknown>;
  private readonly prefix: string;

  constructor(values: Record<string, unknown>, prefix: string) {
    this.values = new Map(Object.entries(values));
    this.prefix = prefix;
  }

  table(key: string): Table {
    const value = this.take(key) ?? {};
    if (typeof value !== 'object' || Array.isArray(value)) throw invalid(this.path(key), 'is a table');
    return new Table(value as Record<string, unknown>, `${this.path(key)}.`);
  }

  name(key: string, fallback?: string): AcName {
    try {
      return parseAcName(this.text(key, fallback));
    } catch (cause) {
      throw new Refusal(
        'config-invalid',
        `wherry.toml: ${this.path(key)} takes an AC Name such as "gate-17" (a-z, 0-9, single dashes)`,
        { cause },
      );
    }
  }

  text(key: string, fallback?: string): string {
    const value = this.take(key) ?? fallback;
    if (typeof value !== 'string' || value === '')
      throw invalid(this.path(key), 'takes text and must be given');
    return value;
  }

  /**
   * A list of texts, each of which `read` accepts.
   * @param expected what the key accepts, with an example
   */
  list<T>(
    key: string,
    fallback: readonly string[],
    expected: string,
    read: (text: string) => T | undefined,
    most = 64,
  ): readonly T[] {
    const value: unknown = this.take(key) ?? fallback;
    const refuse = (): never => {
      throw invalid(this.path(key), `takes a list of at most ${most} ${expected}`);
    };
    if (!Array.isArray(value) || value.length > most) return refuse();
    return value.map((text: unknown) => (typeof text === 'string' ? read(text) : undefined) ?? refuse());
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.take(key) ?? fallback;
    if (typeof value !== 'boolean') throw invalid(this.path(key), 'takes true or false');
    return value;
  }

  integer(key: string, min: number, max: number, fallback: number): number {
    const value = this.take(key);
    if (value === undefined) return fallback;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw invalid(this.path(key), `takes a whole number from ${min} to ${max}`);
    }
    return value;
  }

  oneOf<const T extends string | number>(key: string, choices: readonly T[], fallback: T): T {
    const value = this.take(key) ?? fallback;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw invalid(this.path(key), `takes one of ${choices.join(', ')}`);
    return found;
  }

  /** Text keys that may be absent, under the names that they have in the result. */
  optionalTexts<Name extends string>(names: Readonly<Record<string, Name>>): Partial<Record<Name, string>> {
    const result: Partial<Record<Name, string>> = {};
    for (const [key, name] of Object.entries(names)) {
      if (this.values.has(key)) result[name] = this.text(key);
    }
    return result;
  }

  /** The keys that were not taken. */
  rest(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(this.values);
  }

  refuseLeftovers(): void {
    const [key] = this.values.keys();
    if (key !== undefined) throw invalid(this.path(key), 'is not a known key');
  }

  private take(key: string): unknown {
    const value = this.values.get(key);
    this.values.delete(key);
    return value;
  }

  private path(key: string): string {
    return `${this.prefix}${key}`;
  }
}
