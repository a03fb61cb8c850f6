import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { CORE_SCHEMA, intCoreTag, loadAll, mergeTag, YAMLException } from 'js-yaml';
import { type AcName, parseJson, SchemaFault } from '../../../image/appc/index.ts';
import { type OfferedImages, type ReifiedPod, reifyPod } from '../../../operator/fleet/index.ts';
import { isKubernetes, podFromKubernetes } from '../../../operator/kubernetes/index.ts';
import { Refusal, unreadableFile } from '../../../core/refusal/index.ts';

const maxFileBytes = 1 << 20;

/**
 * Reads a pod from a file: a pod manifest in JSON, or a Kubernetes Pod in YAML or JSON.
 * @throws Refusal `input-invalid`, `pod-manifest-invalid`, `not-found`, and those of an unreadable
 *   file
 */
export async function podFromFile(name: AcName, path: string, offered: OfferedImages): Promise<ReifiedPod> {
  const text = await readPodFile(path);
  // JSON is YAML, but a YAML parser's message on broken JSON would mislead.
  const isJson = text.trimStart().startsWith('{');
  const value = isJson ? fromJson(name, path, text) : fromYaml(name, path, text);
  if (isKubernetes(value)) return podFromKubernetes(name, value, offered);
  if (isJson) return reifyPod(name, text, offered);
  throw new Refusal(
    'pod-manifest-invalid',
    `pod ${name}: ${path} has no apiVersion; expected a Kubernetes Pod, or a pod manifest in JSON`,
  );
}

/**
 * Undefined for what is not JSON: `reifyPod` then refuses the text. Of a key that is there twice,
 * `JSON.parse` would drop one.
 */
function fromJson(name: AcName, path: string, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  try {
    parseJson(Buffer.from(text), { maxBytes: 4 * maxFileBytes, maxDepth: 64, maxValues: maxFileBytes });
  } catch (cause) {
    if (!(cause instanceof SchemaFault)) throw cause;
    throw new Refusal('input-invalid', `pod ${name}: ${path}: ${cause.message}`, { cause });
  }
  return value;
}

/** Integers on which all readers of YAML agree. */
const clearInteger: typeof intCoreTag = {
  ...intCoreTag,
  resolve: (source, ...more) => {
    const value = intCoreTag.resolve(source, ...more);
    if (typeof value !== 'number') return value;
    if (/^[-+]?0\d/.test(source)) {
      throw new YAMLException(
        `${source} is octal in YAML 1.1, as kubectl reads it, and decimal in YAML 1.2; write it without the zero`,
      );
    }
    if (!Number.isSafeInteger(value)) throw new YAMLException(`${source} is too large for an integer`);
    return value;
  },
};

/**
 * With the types of YAML 1.2, where `yes` and dates are strings, and merge keys. As for kubectl,
 * empty documents do not count.
 */
function fromYaml(name: AcName, path: string, text: string): unknown {
  try {
    const schema = CORE_SCHEMA.withTags(mergeTag, clearInteger);
    const documents = loadAll(text, { schema }).filter((document) => document !== null);
    if (documents.length < 2) return documents[0];
    throw new Refusal(
      'input-invalid',
      `pod ${name}: ${path} has ${documents.length} documents of YAML; put the Pod into a file of its own`,
    );
  } catch (cause) {
    if (!(cause instanceof YAMLException)) throw cause;
    const why = cause.message.split('\n')[0] ?? '';
    throw new Refusal('input-invalid', `pod ${name}: ${path} cannot be read as YAML: ${why}`, { cause });
  }
}

async function readPodFile(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes)
      throw new Refusal(
        'input-invalid',
        `the pod ${path} has ${size} bytes; at most ${maxFileBytes} are read`,
      );
    const bytes = await readFile(path);
    if (!isUtf8(bytes)) throw new Refusal('input-invalid', `the pod ${path} is not UTF-8`);
    // Windows tools put a byte order mark before UTF-8; parsers may ignore it (RFC 8259 §8.1).
    return bytes.toString().replace(/^\ufeff/, '');
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw unreadableFile(`the pod manifest ${path}`, cause);
  }
}
