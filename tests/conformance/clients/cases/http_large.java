// client: java.net.http
// what: 413 to 40 MB and 401 to 8 MB reach a client that is still sending
// wants: ^413 413 413 413 413 413 413 413$
// wants: ^401 401 401 401 401 401 401 401$
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

class Large {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static String status(String key, int megabytes) {
        var to = URI.create(System.getenv("BASE") + "/v1/embeddings");
        var request = HttpRequest.newBuilder(to).header("authorization", "Bearer " + key)
            .header("content-type", "application/json").POST(BodyPublishers.ofByteArray(new byte[megabytes << 20]));
        try {
            return "" + CLIENT.send(request.build(), BodyHandlers.ofString()).statusCode();
        } catch (Exception error) {
            return error.toString();
        }
    }

    static void tries(String key, int megabytes) {
        var seen = new StringBuilder();
        for (int i = 0; i < 8; i++) seen.append(i == 0 ? "" : " ").append(status(key, megabytes));
        System.out.println(seen);
    }

    public static void main(String[] words) {
        tries(System.getenv("KEY"), 40);
        tries("wrong", 8);
        System.exit(0);
    }
}
