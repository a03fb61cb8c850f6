import { BlockList, isIP, isIPv4 } from 'node:net';
import { DownloadError } from './download-error.ts';

/** The proxy for an address, or an empty string. It may contain user and password. */
export type ProxyFor = (target: URL) => string;

/** A proxy without its secrets, and the header for it. */
export interface Proxy {
  /** Without user and password. */
  readonly url: URL;
  /** Host and port, for messages. */
  readonly name: string;
  /** The value of `Proxy-Authorization`. */
  readonly authorization?: string;
}

/** The proxy settings of a device's configuration. */
export interface ProxySettings {
  readonly url: string;
  /** Hosts that are contacted directly, each in the form of NO_PROXY. */
  readonly noProxy: readonly string[];
}

const proxyNames = ['http_proxy', 'https_proxy', 'all_proxy'] as const;

/**
 * The proxies of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (lower case has precedence) in the
 * environment of this process, by the rules of the library proxy-from-env, which is loaded when one
 * is set. A proxy without a scheme is an http one, as in curl. NO_PROXY may also have ranges of
 * addresses, which the library does not support.
 *
 * @returns undefined when no proxy is set
 */
export async function proxiesOfEnvironment(): Promise<ProxyFor | undefined> {
  const values = proxyNames
    .flatMap((name) => [process.env[name], process.env[name.toUpperCase()]])
    .filter((value) => value !== undefined && value !== '');
  if (values.length === 0) return undefined;
  const { getProxyForUrl } = await import('proxy-from-env');
  const isDirect = rangesOf(process.env['no_proxy'] || process.env['NO_PROXY'] || '');
  return (target) => {
    if (isDirect(target)) return '';
    const named = getProxyForUrl(target.href);
    // The library gives a proxy without a scheme that of the target.
    return values.includes(named) ? named : named.replace(/^https:/, 'http:');
  };
}

/**
 * Whether the host of an address is one in the ranges of a list such as
 * `a.example,10.0.0.0/8,fd00::/8`. Names are not resolved.
 */
function rangesOf(list: string): (target: URL) => boolean {
  const ranges = new BlockList();
  for (const entry of list.split(/[,\s]/)) {
    const [, address = '', bits = ''] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? [];
    if (isIP(address) !== 0 && Number(bits) <= (isIPv4(address) ? 32 : 128))
      ranges.addSubnet(address, Number(bits), familyOf(address));
  }
  return ({ hostname }) => {
    const host = hostname.replace(/^\[|\]$/g, '');
    return isIP(host) !== 0 && ranges.check(host, familyOf(host));
  };
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/**
 * Environment variables for the configuration, with all others empty. An empty variable counts as
 * not set.
 */
export function proxyVariables({ url, noProxy }: ProxySettings): Readonly<Record<string, string>> {
  const upperCase = [...proxyNames, 'no_proxy'].map((name) => [name.toUpperCase(), ''] as const);
  return {
    ...Object.fromEntries(upperCase),
    http_proxy: url,
    https_proxy: url,
    all_proxy: '',
    no_proxy: noProxy.join(','),
  };
}

/**
 * Reads the address of a proxy.
 * @throws DownloadError `download-failed` for an invalid address; the message does not quote it,
 *   because it may contain a password
 */
export function parseProxy(text: string): Proxy {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '' || !/^https?:$/.test(url.protocol)) {
    const scheme = /^([a-z0-9+.-]{1,20}):\/\//i.exec(text)?.[1];
    const what = scheme === undefined ? 'is not an address' : `has the scheme ${scheme}`;
    throw new DownloadError(
      'download-failed',
      `the proxy that is set ${what}; expected one such as http://proxy.example:3128`,
      { resumable: true, final: true },
    );
  }
  const { username, password } = url;
  const bare = new URL(url.origin);
  const name = url.host;
  if (username === '' && password === '') return { url: bare, name };
  const pair = `${decoded(username)}:${decoded(password)}`;
  return { url: bare, name, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** Decodes percent-encoding; other text stays unchanged. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a password with a percent sign of its own
  }
}
