import { readFile } from 'node:fs/promises';
import { Refusal } from '../../core/refusal/index.ts';
import type { Clock, Journal } from '../../core/ports/index.ts';
import { MqttTransport } from '../../wire/mqtt/index.ts';
import { SeveralBrokers } from '../session/index.ts';
import type { BrokerConfig } from './broker-config.ts';

/** A transport for each address, all with the same files. @throws Refusal `config-invalid` */
export async function openBrokers(
  config: BrokerConfig,
  ports: { readonly clock: Clock; readonly journal: Journal },
): Promise<SeveralBrokers> {
  const { urls, ...others } = config;
  const address = { ...others, ...(await readCredentials(config)) };
  const open = (url: string) => ({ url, transport: new MqttTransport({ ...address, url }) });
  const [first, ...rest] = urls;
  return new SeveralBrokers([open(first), ...rest.map(open)], ports);
}

/** The files that the configuration names for the broker, as text. */
async function readCredentials(
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
