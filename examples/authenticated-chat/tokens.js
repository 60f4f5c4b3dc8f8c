/** JSON Web Tokens with HS256, as far as one program needs them that both signs and checks. For keys of a login service take the package `jose`. */
const { createHmac, timingSafeEqual } = require("node:crypto");

/**
 * @param secret   at least 32 bytes, known to this program alone
 * @param seconds  how long a token is valid
 * @returns        `{ sign(claims), verify(token) }`; `sign` gives `{ token, validMs }`, `verify` the claims with `exp` in seconds, or null
 */
function createTokens(secret, seconds) {
  if (Buffer.byteLength(secret) < 32) throw new Error("the secret of tokens: expected at least 32 bytes");
  const header = encode({ alg: "HS256", typ: "JWT" });
  const signatureOf = (text) => createHmac("sha256", secret).update(text).digest();

  return {
    sign(claims) {
      const text = `${header}.${encode({ ...claims, exp: Math.floor(Date.now() / 1000) + seconds })}`;
      return { token: `${text}.${signatureOf(text).toString("base64url")}`, validMs: seconds * 1000 };
    },

    verify(token) {
      if (typeof token !== "string" || token.length > 2000) return null;
      const [head, body, signature, ...rest] = token.split(".");
      if (head !== header || signature === undefined || rest.length > 0) return null; // no other algorithm, least of all "none"
      const [expected, met] = [signatureOf(`${head}.${body}`), Buffer.from(signature, "base64url")];
      if (met.length !== expected.length || !timingSafeEqual(met, expected)) return null;
      const claims = JSON.parse(Buffer.from(body, "base64url")); // this program has written it
      return claims.exp * 1000 > Date.now() ? claims : null;
    },
  };
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

module.exports = { createTokens };
