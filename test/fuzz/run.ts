/**
 * Searches for inputs that break a parser, guided by the code they reach: `npm run fuzz -- --help`.
 * It stores the input of a fault in build/fuzz and prints the command that parses it again.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { readArguments, type FuzzArguments } from './arguments.ts';
import { addToCorpus, readCorpus } from './corpus.ts';
import { ask } from './target.ts';
import { targets } from './targets.ts';
import type { Told, Work } from './worker.ts';

/** An input that takes longer than this counts as a hang, in milliseconds. */
const patienceMs = 20_000;
/** Heap limit of a worker, in MiB, for parsers that store their input many times. */
const heapMiB = 256;
const maxInputBytes = 64 * 1024;

const root = resolve(import.meta.dirname, '../..');
const output = join(root, 'build/fuzz');

interface Result {
  readonly facts: number;
  readonly reached: readonly Uint8Array[];
  readonly found: readonly { readonly input: Uint8Array; readonly error: string }[];
}

const read = readArguments(process.argv.slice(2), Object.keys(targets), Date.now() % 1_000_000);
if ('text' in read) {
  (read.status === 0 ? process.stdout : process.stderr).write(read.text);
  process.exitCode = read.status;
} else if (read.ask !== undefined) {
  await askAgain(read.ask, read.chosen);
} else {
  await fuzz(read);
}

async function askAgain(path: string, chosen: readonly string[]): Promise<void> {
  let input;
  try {
    input = readFileSync(path);
  } catch (error) {
    console.error(`${path} cannot be read: ${String(error)}`);
    process.exitCode = 66;
    return;
  }
  for (const name of chosen) {
    await ask(targets[name] ?? unknown(name), input);
    console.log(`${name}: ${input.length} bytes, read or refused as they should be`);
  }
}

async function fuzz({ chosen, inputs: most, save, ...how }: FuzzArguments): Promise<void> {
  mkdirSync(output, { recursive: true });
  const script = join(output, 'worker.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'worker.ts')],
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  });
  let isClean = true;
  for (const name of chosen) {
    const share = targets[name]?.share ?? 1;
    const inputs = Math.ceil(most / share);
    const { facts, reached, found } = await oneTarget(script, name, { inputs, ...how });
    console.log(
      `${name}: ${inputs} inputs, ${reached.length} reached new code, ${facts} facts, ${found.length} found`,
    );
    for (const { input, error } of found.slice(0, 5)) {
      isClean = false;
      const path = keep(input);
      console.log(
        `  ${error.split('\n').slice(0, 4).join('\n  ')}\n  again: npm run fuzz -- --ask ${path} '${name}'`,
      );
    }
    if (save) addToCorpus(name, reached);
  }
  process.exitCode = isClean ? 0 : 1;
}

function oneTarget(
  script: string,
  target: string,
  { inputs, seed, isGuided }: Pick<FuzzArguments, 'inputs' | 'seed' | 'isGuided'>,
): Promise<Result> {
  const corpus = readCorpus(target);
  const present = new SharedArrayBuffer(8 + maxInputBytes);
  const counters = new Int32Array(present, 0, 2);
  const work: Work = {
    ...{ target, corpus, inputs, present, seed, isGuided },
    maxBytes: maxInputBytes,
  };
  const worker = new Worker(pathToFileURL(script), {
    workerData: work,
    resourceLimits: { maxOldGenerationSizeMb: heapMiB },
  });
  const reached: Uint8Array[] = [];
  const found: { input: Uint8Array; error: string }[] = [];
  return new Promise((done) => {
    let facts = 0;
    const presentInput = () => Uint8Array.from(new Uint8Array(present, 8, Atomics.load(counters, 1)));
    const stop = (error?: string) => {
      clearInterval(watching);
      if (error !== undefined) found.push({ input: presentInput(), error });
      void worker.terminate().then(() => done({ facts, reached, found }));
    };
    let seen = -1;
    const watching = setInterval(() => {
      const begun = Atomics.load(counters, 0);
      if (begun === seen && begun > 0) stop(`an input took longer than ${patienceMs} ms`);
      seen = begun;
    }, patienceMs);
    worker.on('message', (told: Told) => {
      if (told.kind === 'new') reached.push(told.input);
      else if (told.kind === 'found') found.push(told);
      else {
        facts = told.facts;
        stop();
      }
    });
    worker.on('error', (error: Error) => stop(error.message)); // out of memory, or an uncaught error
  });
}

function keep(input: Uint8Array): string {
  const path = join(output, createHash('sha256').update(input).digest('hex').slice(0, 16));
  writeFileSync(path, input);
  return path;
}

function unknown(name: string): never {
  throw new Error(`there is no target ${name}`);
}
