/**
 * The parts of OpenPGP that wherry uses, on the device and in the operator's tool. Naming them lets
 * the bundler leave out the rest.
 */
export {
  config,
  createMessage,
  decrypt,
  encrypt,
  enums,
  generateKey,
  PacketList,
  PrivateKey,
  PublicKey,
  PublicKeyEncryptedSessionKeyPacket,
  PublicSubkeyPacket,
  readKey,
  readKeys,
  readMessage,
  readPrivateKey,
  readSignature,
  SecretKeyPacket,
  Signature,
  SignaturePacket,
  Subkey,
  SymEncryptedIntegrityProtectedDataPacket,
  unarmor,
  UserAttributePacket,
  UserIDPacket,
} from 'openpgp';
