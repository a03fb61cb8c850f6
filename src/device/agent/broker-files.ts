import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readRegular } from '../../core/files/index.ts';
import { isRefusal, Refusal, unreadableFile } from '../../core/refusal/index.ts';
import type { Journal } from '../../core/ports/index.ts';
import type { CapabilityReport } from '../../wire/report/index.ts';
import type { BrokerConfig } from './broker-config.ts';

/** The files that the configuration names for the broker, as text. */
export interface BrokerFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly password?: string;
}

type Named = Pick<BrokerConfig, 'ca' | 'cert' | 'key' | 'passwordFile'>;

/**
 * @throws Refusal `config-invalid` for a file that cannot be read or is empty: with an empty list
 *   of authorities Node would trust its own
 */
export function readBrokerFiles(broker: Named): BrokerFiles {
  const result: Record<string, string> = {};
  for (const [field, path] of [
    ['ca', broker.ca],
    ['cert', broker.cert],
    ['key', broker.key],
    ['password', broker.passwordFile],
  ] as const) {
    if (path === undefined) continue;
    try {
      const text = readRegular(path).toString('utf8');
      result[field] = text.replace(/\r?\n$/, field === 'password' ? '' : '\n');
    } catch (cause) {
      const { message } = unreadableFile(path, cause);
      throw new Refusal('config-invalid', `wherry.toml: broker: ${message}`, { cause });
    }
    if (result[field] === '') throw new Refusal('config-invalid', `wherry.toml: broker: ${path} is empty`);
  }
  return result;
}

/**
 * Why files that are being replaced cannot be used; undefined when they can. A half-written
 * certificate does not parse. A certificate whose key was not replaced yet does not match it.
 */
function whyUnusable({ ca, cert, key }: BrokerFiles): string | undefined {
  try {
    if (ca !== undefined) requireWhole(ca);
    if (cert !== undefined && key !== undefined) {
      requireWhole(cert);
      if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
        return 'the key is not that of the certificate';
    }
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Every block must be complete, and every certificate must parse. */
function requireWhole(pem: string): void {
  const begun = pem.split('-----BEGIN ').length - 1;
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const keys = pem.match(/-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----/g) ?? [];
  if (blocks.length === 0 || blocks.length + keys.length !== begun) throw new Error('the file is not whole');
  for (const block of blocks) new X509Certificate(block);
}

/** The last usable files that were read. */
export class CurrentFiles {
  readonly #config: Named;
  readonly #journal: Journal;
  #files: BrokerFiles;
  /** The problem that was logged last. */
  #told: string | undefined;

  /** @param files those that were read at the start */
  constructor(config: Named, files: BrokerFiles, journal: Journal) {
    this.#config = config;
    this.#files = files;
    this.#journal = journal;
  }

  /** The files on the disk, if they are usable, else those that were used before. */
  newest(): BrokerFiles {
    const problem = this.#look();
    if (problem !== undefined && problem !== this.#told)
      this.#journal.log('warning', `changed files of the broker are not used yet: ${problem}`);
    this.#told = problem;
    return this.#files;
  }

  #look(): string | undefined {
    try {
      const files = readBrokerFiles(this.#config);
      if (JSON.stringify(files) === JSON.stringify(this.#files)) return undefined;
      const problem = whyUnusable(files);
      if (problem !== undefined) return problem;
      this.#files = files;
      this.#journal.log('info', 'changed files of the broker are used from the next connection on');
      return undefined;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return error.message;
    }
  }
}

/** How long before its expiry a certificate is reported. */
const warnedMs = 30 * 24 * 3_600_000;

/**
 * The capability for the report: the certificate of the next connection. None without a
 * certificate.
 */
export function certificateCapability({ cert, key }: Named, nowMs: number): readonly CapabilityReport[] {
  if (cert === undefined || key === undefined) return [];
  const name = 'lasting-certificate';
  try {
    const expires = new Date(new X509Certificate(readRegular(cert)).validTo);
    const detail = `the client certificate expires at ${expires.toISOString()}`;
    if (expires.getTime() - nowMs > warnedMs) return [{ name, available: true, detail }];
    return [{ name, available: false, detail: `${detail}: renew it with "wherry fleet renew"` }];
  } catch (error) {
    const detail = `the client certificate cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    return [{ name, available: false, detail }];
  }
}
