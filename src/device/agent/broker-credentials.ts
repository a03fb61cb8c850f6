import { readFile } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';
import type { BrokerConfig } from './config.ts';

/** The files that the configuration names for the broker, as text. */
export async function readCredentials(
  broker: BrokerConfig,
): Promise<{ ca?: string; cert?: string; key?: string; password?: string }> {
  const result: { ca?: string; cert?: string; key?: string; password?: string } = {};
  for (const [field, path] of [
    ['ca', broker.ca],
    ['cert', broker.cert],
    ['key', broker.key],
    ['password', broker.passwordFile],
  ] as const) {
    if (path === undefined) continue;
    try {
      result[field] = (await readFile(path, 'utf8')).replace(/\n$/, field === 'password' ? '' : '\n');
    } catch (cause) {
      throw new Refusal('config-invalid', `wherry.toml: broker: ${path} cannot be read`, { cause });
    }
  }
  return result;
}
