import { domainToASCII } from 'node:url';
import { Refusal } from '../../core/refusal/index.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** The address with its path, where MQTT is in a WebSocket. */
  readonly webSocket?: string;
}

const schemes: Readonly<
  Record<string, { readonly port: number; readonly tls: boolean; readonly isWeb: boolean }>
> = {
  'mqtt:': { port: 1883, tls: false, isWeb: false },
  'mqtts:': { port: 8883, tls: true, isWeb: false },
  'ws:': { port: 80, tls: false, isWeb: true },
  'wss:': { port: 443, tls: true, isWeb: true },
};

/** The path of the WebSocket on most brokers. */
const usualPath = '/mqtt';

/** Only for ws and wss does URL convert a name with letters beyond ASCII. Empty for a wrong one. */
function hostOf({ hostname }: URL): string {
  if (hostname.startsWith('[')) return hostname.slice(1, -1);
  return hostname.includes('%') ? domainToASCII(hostname) : hostname;
}

/** Parses a broker URL. @throws Refusal `config-invalid` */
export function parseBrokerUrl(url: string): Endpoint {
  const parsed = URL.canParse(url) && !/\s/.test(url) ? new URL(url) : undefined;
  const scheme = parsed === undefined ? undefined : schemes[parsed.protocol];
  const host = parsed === undefined ? '' : hostOf(parsed);
  if (parsed === undefined || scheme === undefined || host === '' || parsed.port === '0') {
    throw new Refusal(
      'config-invalid',
      `the broker's address ${JSON.stringify(url)} is not mqtt://host, mqtts://host, ws://host or wss://host`,
    );
  }
  const { tls, isWeb } = scheme;
  const hasPath = !['', '/'].includes(parsed.pathname);
  if (parsed.username !== '' || (hasPath && !isWeb) || parsed.search !== '' || parsed.hash !== '') {
    throw new Refusal('config-invalid', `the broker's address must be a host and a port only`);
  }
  const endpoint = { host, port: parsed.port === '' ? scheme.port : Number(parsed.port), tls };
  if (!isWeb) return endpoint;
  if (!hasPath) parsed.pathname = usualPath;
  return { ...endpoint, webSocket: parsed.href };
}
