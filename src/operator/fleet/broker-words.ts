import type { ConnectionLost } from '../../wire/mqtt/index.ts';

/** Why there is no connection: what was observed, and what to do. */
export interface BrokerWords {
  readonly sentence: string;
  /** Whose decision it was, or what is wrong. */
  readonly by: 'broker' | 'way' | 'configuration';
}

const table = '[broker] of fleet.toml';

/** What to do about a code of the broker (MQTT 3.1.1 §3.2.2.3, MQTT 5 §2.4). */
const adviceByCode: Readonly<Record<number, string>> = {
  0x01: `set version in ${table} to the one that it speaks`,
  0x84: `set version in ${table} to the one that it speaks`,
  0x04: `check username and password_file in ${table}`,
  0x05: `check username and password_file in ${table}`,
  0x86: `check username and password_file in ${table}`,
  0x87: `check username and password_file in ${table}`,
  0x95: 'raise its limit on the size of packets',
  0x9a: 'commands are retained messages: let the broker keep them',
  0x9b: 'commands are sent with QoS 1: let the broker accept it',
  0x9c: `if that is the broker of the fleet, set url in ${table} to it`,
  0x9d: `set url in ${table} to where the broker is now`,
};

const untrusted = `no authority that is trusted here has signed the broker's certificate, or the broker leaves out a certificate between them`;
const trustIt = `name the authority's certificate as ca in ${table}`;

/** The errors of Node about the broker's certificate. */
const certificateFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: `the broker's certificate has expired; renew it, or check the clock of this computer`,
  CERT_NOT_YET_VALID: `the broker's certificate is not valid yet; check the clock of this computer`,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `${untrusted}; ${trustIt}`,
  UNABLE_TO_GET_ISSUER_CERT: `${untrusted}; ${trustIt}`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `${untrusted}; ${trustIt}`,
  DEPTH_ZERO_SELF_SIGNED_CERT: `the broker's certificate is signed by itself and not trusted here; name it as ca in ${table}`,
  SELF_SIGNED_CERT_IN_CHAIN: `the authority of the broker's certificate is not trusted here; ${trustIt}`,
};

/** A broker that returns nothing for a topic does not show whether it has nothing. */
export function noReportOf(what: string): string {
  return `the broker returned no report of ${what}: it has none, or this account may not read the topics "reported"`;
}

/** The broker accepted a command and was then lost, before or after the device answered. */
export function outcomeUnknown(version: number, target: string): string {
  return `version ${version} of ${target} was published, and what became of it is not known; when the broker is back, "wherry status" shows it, and publishes it again if it is lost`;
}

/** Whether the broker may be back in a moment. */
export function isAway({ reason }: ConnectionLost): boolean {
  return reason === 'unreachable' || reason === 'no-network' || reason === 'closed';
}

/**
 * Whether to connect again: a broker that shuts down, for example to restart, or that is overloaded
 * may accept the next connection, too.
 */
export function mayComeBack(loss: ConnectionLost): boolean {
  return isAway(loss) || loss.reason === 'busy' || loss.reason === 'quota';
}

/** @param opening whether the broker had not yet accepted the connection */
export function wordsOfLoss(loss: ConnectionLost, opening: boolean): BrokerWords | undefined {
  const { reason, code, message, cause } = loss;
  if (reason === 'tls') return wordsOfTls(message, cause);
  if (message.startsWith('what answers '))
    return { sentence: `${message}; check host and port of url in ${table}`, by: 'way' };
  if (message.startsWith('the broker ')) {
    const advice = code === undefined ? undefined : adviceByCode[code];
    const sentence = advice === undefined ? message : `${message}; ${advice}`;
    // After the broker ended a session, it may accept the next one, whatever the code.
    const isDecision = !isAway(loss) || message.startsWith('the broker refused ');
    return { sentence, by: isDecision ? 'broker' : 'way' };
  }
  const { code: name, hostname } = (cause ?? {}) as { readonly code?: unknown; readonly hostname?: unknown };
  if (name === 'ENOTFOUND')
    return {
      sentence: `no connection to the broker: the name ${String(hostname)} has no address; check url in ${table}`,
      by: 'way',
    };
  if (!opening || reason !== 'closed') return undefined;
  const advice = `check whether that port takes MQTT over TLS (mqtts://) or without (mqtt://), whether it requires a client certificate, and whether it limits the size of packets`;
  return {
    sentence: `no connection to the broker: it ended before the broker answered (${message}); ${advice}`,
    by: 'way',
  };
}

function wordsOfTls(message: string, cause: unknown): BrokerWords {
  const { code } = (cause ?? {}) as { readonly code?: unknown };
  const fault = typeof code === 'string' ? certificateFaults[code] : undefined;
  if (fault !== undefined) return { sentence: fault, by: 'broker' };
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const why = message.replace(/^Hostname\/IP does not match certificate's altnames: /, '').trim();
    const sentence = `the broker's certificate is for other names than that in url of ${table} (${why})`;
    return { sentence: `${sentence}; use one of its names, or renew it`, by: 'broker' };
  }
  if (message.startsWith('the certificate or key cannot be used'))
    return { sentence: `cert and key in ${table}: ${message}`, by: 'configuration' };
  if (message === 'wrong version number')
    return {
      sentence: `what answers at the address of the broker does not speak TLS; check the port of url in ${table}, or use mqtt://`,
      by: 'way',
    };
  const alert = /\balert (.+)$/.exec(message)?.[1];
  if (alert === undefined)
    return { sentence: `the TLS handshake with the broker failed: ${message}`, by: 'broker' };
  const advice = /certificate|unknown ca|handshake failure/.test(alert)
    ? `; check cert and key in ${table}: the broker may require a client certificate that its authority has signed`
    : '';
  return { sentence: `the broker ended the TLS handshake with the alert "${alert}"${advice}`, by: 'broker' };
}
