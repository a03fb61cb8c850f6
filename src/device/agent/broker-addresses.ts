import { SeveralBrokers } from '../session/index.ts';
import type { BrokerConfig } from './broker-config.ts';
import { CurrentFiles, readBrokerFiles } from './broker-files.ts';
import { RenewedTransport, type TransportPorts } from './renewed-transport.ts';

/** A transport for each address, all with the same files. @throws Refusal `config-invalid` */
export function openBrokers(config: BrokerConfig, ports: TransportPorts): SeveralBrokers {
  const { urls, version, username } = config;
  const files = readBrokerFiles(config);
  const current = new CurrentFiles(config, files, ports.journal);
  const open = (url: string) => {
    const address = { url, version, ...(username === undefined ? {} : { username }) };
    return { url, transport: new RenewedTransport(address, files, current, ports) };
  };
  const [first, ...rest] = urls;
  return new SeveralBrokers([open(first), ...rest.map(open)], ports);
}
