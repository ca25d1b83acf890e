import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;

/**
 * One scenario with the official Java clients. Arguments: URL elasticsearch|opensearch INDEX.
 *
 * <p>Prints one line of JSON for each operation: its name, and what the client made of the answer or which exception it threw.
 */
public abstract class Scenario {
    /** A document as a type. */
    public record Shoe(String title, String colour, Double price, Long big, Integer stock) {}

    /** What a program makes of a hit. */
    public record Typed(String id, Double score, Shoe shoe) {}

    static final ObjectMapper JSON = new ObjectMapper();
    static final String TEXT = "running shoe";
    final String index;

    Scenario(String index) {
        this.index = index;
    }

    /** Returns what can be printed of a client's object. */
    abstract Object shown(Object result) throws Exception;

    /** Returns what a program can tell of an exception; null when it is not the client's own. */
    abstract Map<String, Object> raised(Exception exception) throws Exception;

    abstract void run() throws Exception;

    /** Runs one operation and prints it; an exception is a result, too. */
    final void say(String name, Callable<Object> call) throws Exception {
        Object result;
        try {
            result = shown(call.call());
        } catch (Exception exception) {
            result = raised(exception);
            if (result == null) {
                result = Map.of("raised", exception.getClass().getSimpleName(), "error", String.valueOf(exception.getMessage()));
            }
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("op", name);
        line.put("result", result);
        System.out.println(JSON.writeValueAsString(line));
    }

    /** Has a title longer than the one before, so that the engine's scores all differ, and a number that no double holds. */
    static Shoe shoe(int number) {
        String colour = List.of("red", "blue", "green").get(number % 3);
        return new Shoe(TEXT + " " + "with more words ".repeat(number), colour, 10.5 + number, 9007199254740993L + number, null);
    }

    static Shoe zip() {
        return new Shoe("zip ".repeat(500), null, null, null, null);
    }

    public static void main(String[] arguments) throws Exception {
        Scenario scenario = arguments[1].equals("elasticsearch")
            ? new OnElasticsearch(arguments[0], arguments[2])
            : new OnOpenSearch(arguments[0], arguments[2]);
        scenario.run();
        System.exit(0); // the clients' threads would keep it alive
    }
}
