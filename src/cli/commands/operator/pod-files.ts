import { readFile, stat } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import type { AcName } from '../../../image/appc/index.ts';
import { type OfferedImages, type ReifiedPod, reifyPod } from '../../../operator/fleet/index.ts';
import { isKubernetes, podFromKubernetes } from '../../../operator/kubernetes/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';

const maxFileBytes = 1 << 20;

/**
 * Reads a pod from a file: a pod manifest in JSON, or a Kubernetes Pod in YAML or JSON.
 * @throws Refusal `input-invalid`, `pod-manifest-invalid`, `not-found`, and what a file that cannot
 *   be read gives
 */
export async function podFromFile(name: AcName, path: string, offered: OfferedImages): Promise<ReifiedPod> {
  const text = await readPodFile(path);
  const document = parse(text);
  if (document.errors.length === 0) {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (isKubernetes(value)) return podFromKubernetes(name, value, offered);
  } else if (!text.trimStart().startsWith('{')) {
    const why = document.errors[0]?.message.split('\n')[0] ?? '';
    throw new Refusal('input-invalid', `pod ${name}: ${path} is neither JSON nor YAML: ${why}`);
  }
  return reifyPod(name, text, offered);
}

/** Keys are strings, and no tag makes another type of a value. */
function parse(text: string) {
  return parseDocument(text, { version: '1.2', schema: 'core', stringKeys: true });
}

async function readPodFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes)
      throw new Refusal(
        'input-invalid',
        `the pod ${path} has ${size} bytes; at most ${maxFileBytes} are read`,
      );
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw unreadableFile(`the pod manifest ${path}`, cause);
  }
}
