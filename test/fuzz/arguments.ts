import { parseArgs } from 'node:util';

export interface FuzzArguments {
  readonly inputs: number;
  readonly seed: number;
  readonly save: boolean;
  readonly isGuided: boolean;
  /** The file of an input to parse again instead of a search. */
  readonly ask: string | undefined;
  /** Names of targets, at least one. */
  readonly chosen: readonly string[];
}

/** Text to print at the end: help on standard output, a usage error on standard error. */
export interface Told {
  readonly text: string;
  readonly status: 0 | 64;
}

const help = `Searches for inputs that break a parser, guided by the code that they reach.

  npm run fuzz -- [OPTION]... [TARGET]...

  TARGET           part of the name of a target (default: all targets)
  --inputs N       how many inputs for each target (default 100000)
  --seed N         repeat a run (default: a new one each time)
  --save           add the inputs that reached new code to the corpus
  --unguided       do not measure which code an input reaches
  --ask FILE       parse the input of this file again, and no other

Exit status 1 when a fault was found. Its input is then in build/fuzz.

Targets:
`;

/**
 * @param names of all targets
 * @param anySeed used when none is given
 */
export function readArguments(
  words: readonly string[],
  names: readonly string[],
  anySeed: number,
): FuzzArguments | Told {
  const wrong = (text: string): Told => ({ text: `${text}; see npm run fuzz -- --help\n`, status: 64 });
  let parsed;
  try {
    parsed = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        inputs: { type: 'string', default: '100000' },
        seed: { type: 'string', default: String(anySeed) },
        save: { type: 'boolean', default: false },
        unguided: { type: 'boolean', default: false },
        ask: { type: 'string' },
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError && 'code' in error)) throw error; // what parseArgs throws
    return wrong(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) return { text: `${help}${names.map((name) => `  ${name}\n`).join('')}`, status: 0 };
  if (!/^[1-9]\d{0,8}$/.test(values.inputs)) return wrong('--inputs takes a number from 1 to 999999999');
  if (!/^\d{1,9}$/.test(values.seed)) return wrong('--seed takes a number from 0 to 999999999');
  const unknown = positionals.find((word) => !names.some((name) => name.includes(word)));
  if (unknown !== undefined) return wrong(`no target has ${JSON.stringify(unknown)} in its name`);
  return {
    inputs: Number(values.inputs),
    seed: Number(values.seed),
    save: values.save,
    isGuided: !values.unguided,
    ask: values.ask,
    chosen: names.filter(
      (name) => positionals.length === 0 || positionals.some((word) => name.includes(word)),
    ),
  };
}
