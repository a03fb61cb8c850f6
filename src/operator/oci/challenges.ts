/** One way in which a server lets a client prove who it is. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** By names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** A scheme, or a parameter of the scheme before it. */
const item = /[\s,]*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*)))?/y;

/**
 * The challenges of `WWW-Authenticate`, of which a server may send several, in one field or in more
 * (RFC 9110 §11.6.1). Commas separate challenges as well as parameters: a word without a value
 * begins a challenge. Invalid text ends the list.
 */
export function challengesOf(field: string): readonly Challenge[] {
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  const reading = new RegExp(item);
  for (let match = reading.exec(field); match !== null; match = reading.exec(field)) {
    const [, word = '', text, token] = match;
    const value = text?.replace(/\\(.)/gs, '$1') ?? token;
    if (value === undefined) found.push({ scheme: word.toLowerCase(), parameters: new Map() });
    else found.at(-1)?.parameters.set(word.toLowerCase(), value);
  }
  return found;
}
