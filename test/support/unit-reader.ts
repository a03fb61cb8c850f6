/**
 * A second reader of unit files, after systemd.syntax(7) and systemd.service(5), to compare with
 * the intended values.
 */

export interface Directive {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

/** The directives of a unit file, with line continuations joined as systemd does. */
export function readUnit(text: string): readonly Directive[] {
  const directives: Directive[] = [];
  let section = '';
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue;
    const heading = /^\[(.*)\]$/.exec(line);
    if (heading !== null) {
      section = heading[1] ?? '';
      continue;
    }
    const at = line.indexOf('=');
    if (at < 1) throw new Error(`neither a section nor a directive: ${line}`);
    directives.push({ section, key: line.slice(0, at).trim(), value: line.slice(at + 1).trim() });
  }
  return directives;
}

/**
 * The words of a value: quotes and escapes decoded, specifiers resolved, and on command lines `$$`.
 */
export function readWords(value: string, command: boolean): readonly string[] {
  const words: string[] = [];
  let at = 0;
  while (at < value.length) {
    while (value[at] === ' ') at += 1;
    if (at >= value.length) break;
    let word = '';
    let quote = '';
    for (; at < value.length; at += 1) {
      const char = value[at] ?? '';
      if (quote === '' && char === ' ') break;
      if (quote === '' && (char === '"' || char === "'")) quote = char;
      else if (quote !== '' && char === quote) quote = '';
      else if (char === '\\') {
        const hex = /^x([0-9a-f]{2})/.exec(value.slice(at + 1));
        const escaped = value[at + 1] ?? '';
        word += hex === null ? escaped : String.fromCharCode(parseInt(hex[1] ?? '', 16));
        if (hex === null && !['\\', '"'].includes(escaped))
          throw new Error(`an escape that nobody writes: ${value}`);
        at += hex === null ? 1 : 3;
      } else word += char;
    }
    if (quote !== '') throw new Error(`a quote is not closed: ${value}`);
    if (/(?<!%)(?:%%)*%(?!%)/.test(word)) throw new Error(`a specifier: ${word}`);
    word = word.replaceAll('%%', '%');
    if (command) {
      if (/(?<!\$)(?:\$\$)*\$(?!\$)/.test(word)) throw new Error(`a variable: ${word}`);
      word = word.replaceAll('$$', '$');
    }
    words.push(word);
  }
  return words;
}
