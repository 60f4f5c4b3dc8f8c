// `node examples/testing/server.js`: listens with the chat of app.js; PORT takes another port.
const { createServer } = require("node:http");
const { createApp } = require("./app.js");

const httpServer = createServer((_request, response) => response.writeHead(404).end());
createApp().attach(httpServer);
httpServer.listen(process.env.PORT ?? 3000, () => console.log(`listening on http://localhost:${httpServer.address().port}`));
