/** A value that comes from YAML. */
export type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

/**
 * Fields that have no meaning on a device, one line for each. All are collected, so that an author
 * sees them at once.
 */
export class Findings {
  readonly lines: string[] = [];

  add(path: string, why?: string): void {
    this.lines.push(why === undefined ? path : `${path}: ${why}`);
  }
}

/**
 * The fields of one object. A reader takes each field that has a meaning; fields left at the end
 * are findings. A value of another type than in Kubernetes is a finding, too.
 */
export class Fields {
  private readonly left: Map<string, Value>;
  readonly path: string;
  readonly findings: Findings;

  constructor(value: Value | undefined, path: string, findings: Findings) {
    this.path = path;
    this.findings = findings;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isObject && value !== undefined && value !== null) findings.add(path, 'expected an object');
    this.left = new Map(isObject ? Object.entries(value) : []);
  }

  at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`;
  }

  /** Whether the field has a value. As in Kubernetes, null is absent. */
  has(key: string): boolean {
    return (this.left.get(key) ?? null) !== null;
  }

  string(key: string): string | undefined {
    return this.typed(key, 'a string', (value) => (typeof value === 'string' ? value : undefined));
  }

  boolean(key: string): boolean | undefined {
    return this.typed(key, 'true or false', (value) => (typeof value === 'boolean' ? value : undefined));
  }

  /** A whole number that is not negative. */
  count(key: string): number | undefined {
    return this.typed(key, 'a whole number', (value) =>
      typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined,
    );
  }

  /** A quantity, which YAML may have read as a number. */
  quantity(key: string): string | undefined {
    return this.typed(key, 'a quantity', (value) =>
      typeof value === 'string' || typeof value === 'number' ? String(value) : undefined,
    );
  }

  strings(key: string): readonly string[] | undefined {
    return this.typed(key, 'a list of strings', (value) =>
      Array.isArray(value) && value.every((one) => typeof one === 'string')
        ? (value as readonly string[])
        : undefined,
    );
  }

  counts(key: string): readonly number[] | undefined {
    return this.typed(key, 'a list of whole numbers', (value) =>
      Array.isArray(value) && value.every((one) => Number.isSafeInteger(one))
        ? (value as readonly number[])
        : undefined,
    );
  }

  /** Accepts a field whose value is one of `values`; any other value is a finding. */
  only(key: string, ...values: readonly Value[]): void {
    const value = this.take(key);
    if (value === undefined || value === null || values.includes(value)) return;
    this.findings.add(this.at(key), `expected ${values.map((one) => JSON.stringify(one)).join(' or ')}`);
  }

  object<T>(key: string, read: (fields: Fields) => T): T | undefined {
    const value = this.take(key);
    return value === undefined || value === null ? undefined : this.inner(value, this.at(key), read);
  }

  list<T>(key: string, read: (fields: Fields) => T): readonly T[] {
    const value = this.take(key);
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.findings.add(this.at(key), 'expected a list');
      return [];
    }
    return value.map((one: Value, index) => this.inner(one, `${this.at(key)}[${index}]`, read));
  }

  /** Names and strings, as in labels. */
  texts(key: string): Readonly<Record<string, string>> {
    const fields = new Fields(this.take(key), this.at(key), this.findings);
    return Object.fromEntries([...fields.left.keys()].map((name) => [name, fields.string(name) ?? '']));
  }

  take(key: string): Value | undefined {
    const value = this.left.get(key);
    this.left.delete(key);
    return value;
  }

  /** Names of fields with a value that were not taken. */
  get rest(): readonly string[] {
    return [...this.left.keys()].filter((key) => this.has(key));
  }

  /** Everything that was not taken becomes a finding. */
  end(): void {
    for (const key of this.rest) this.findings.add(this.at(key));
    this.left.clear();
  }

  private inner<T>(value: Value, path: string, read: (fields: Fields) => T): T {
    const fields = new Fields(value, path, this.findings);
    const result = read(fields);
    fields.end();
    return result;
  }

  private typed<T>(key: string, expected: string, read: (value: Value) => T | undefined): T | undefined {
    const value = this.take(key);
    if (value === undefined || value === null) return undefined;
    const typed = read(value);
    if (typed === undefined) this.findings.add(this.at(key), `expected ${expected}`);
    return typed;
  }
}
