import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scene } from '../scene.ts';

/** The probe program, as a file of an image. */
export const probe = {
  path: '/probe',
  content: readFileSync(join(import.meta.dirname, 'probe.sh'), 'utf8'),
};

/** What a process of an app printed: the lines of each fact. */
export type Facts = ReadonlyMap<string, readonly string[]>;

/** Waits until a process of an app has printed everything. */
export async function factsOf(scene: Scene, pod: string, app: string, process: string): Promise<Facts> {
  const { stdout } = await scene.board.waitFor(
    `journalctl --sync; journalctl -b -q -o cat _TRANSPORT=stdout WHERRY_POD=${pod} WHERRY_APP=${app}`,
    (said) => said.stdout.split('\n').includes(`end: ${process}`),
    480_000,
  );
  const lines = stdout.split('\n');
  const end = lines.lastIndexOf(`end: ${process}`);
  const facts = new Map<string, string[]>();
  for (const line of lines.slice(lines.lastIndexOf(`begin: ${process}`, end) + 1, end)) {
    const at = line.indexOf(': ');
    const name = line.slice(0, at);
    facts.set(name, [...(facts.get(name) ?? []), line.slice(at + 2)]);
  }
  return facts;
}
