/** A server on 127.0.0.2 that accepts any MQTT client and answers any HTTP request. */
import { createServer } from 'node:net';

const server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.once('data', (data) =>
    socket.write(
      data[0] === 0x10 ? Buffer.from([0x20, 2, 0, 0]) : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    ),
  );
});
server.listen({ host: '127.0.0.2', port: 0, backlog: 1 }, () =>
  process.stdout.write(`${server.address().port}\n`),
);
