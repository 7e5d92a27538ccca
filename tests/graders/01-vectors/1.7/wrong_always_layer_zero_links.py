import heapq
import math


class HNSW:
    """Hierarchical navigable small world graph under squared L2 (Malkov and Yashunin 2018, arXiv 1603.09320).

    Parameters
    ----------
    dim : int
    M : int >= 2; links of a node: at most M in each layer above 0, at most 2M in layer 0
    ef_construction : int, width of the search while inserting
    seed : of `self.random`, a numpy Generator, from which the levels are drawn

    Attributes
    ----------
    vectors : (n, dim) float32; row i is node i
    levels : list of n int, each node's highest layer
    links : links[node][level] is the list of nodes that `node` knows in that layer, for each level from 0 to levels[node]
    entry_point, max_level : the node where every search begins and its layer; -1 while the index is empty
    distance_evaluations : int, how many distances were computed so far
    """

    def __init__(self, dim, M=16, ef_construction=100, seed=0):
        if M < 2:
            raise ValueError(f"M is {M}; a graph needs at least 2 links a node")
        self.dim, self.M, self.ef_construction = dim, M, ef_construction
        self.random = np.random.default_rng(seed)
        self._rows = np.empty((16, dim), dtype=np.float32)  # doubled when full
        self.levels, self.links = [], []
        self.entry_point, self.max_level = -1, -1
        self.distance_evaluations = 0

    @property
    def vectors(self):
        return self._rows[: len(self.levels)]

    def _distance(self, query, nodes):
        """Squared L2 of query (dim,) to each of the nodes (a list): (len(nodes),) float32. Compute every distance here: it counts."""
        self.distance_evaluations += len(nodes)
        difference = self._rows[nodes] - query
        return np.einsum("nd,nd->n", difference, difference)

    def _new_node(self, vector, level):
        """Store a vector as a node without links in layers 0 to `level`; returns its number."""
        node = len(self.levels)
        if node == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[node] = vector
        self.levels.append(level)
        self.links.append([[] for _ in range(level + 1)])
        return node

    def neighbors(self, node, level):
        """The nodes that `node` knows in a layer: int64 array, empty where the node is not in that layer."""
        return np.array(self.links[node][level] if level <= self.levels[node] else [], dtype=np.int64)

    def add(self, x):
        """Insert the rows of x (n, dim), one after the other; call it as often as you like. ValueError: another shape."""
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x has shape {x.shape}; this index takes (n, {self.dim})")
        for row in x:
            self.insert(row)

    def search_layer(self, query, entry_points, ef, level):
        """Best-first search in one layer (Algorithm 2).

        Parameters
        ----------
        query : (dim,) float32
        entry_points : list of nodes of that layer, where the search begins
        ef : int >= 1, how many of the nearest to keep
        level : int

        Returns
        -------
        found : list of at most ef tuples (squared distance float, node int), best first
        """
        entry_points = list(entry_points)
        start = list(zip(self._distance(query, entry_points).tolist(), entry_points))
        candidates = start.copy()  # nearest on top: whose neighbours are still to be looked at
        heapq.heapify(candidates)
        found = [(-distance, node) for distance, node in start]  # farthest on top: the ef best so far
        heapq.heapify(found)
        while len(found) > ef:
            heapq.heappop(found)
        seen = set(entry_points)
        while candidates:
            distance, node = heapq.heappop(candidates)
            if len(found) == ef and distance > -found[0][0]:
                break  # every other candidate is farther still
            fresh = [n for n in self.links[node][0] if n not in seen]
            if not fresh:
                continue
            seen.update(fresh)
            for distance, neighbor in zip(self._distance(query, fresh).tolist(), fresh):
                if len(found) < ef or distance < -found[0][0]:
                    heapq.heappush(candidates, (distance, neighbor))
                    heapq.heappush(found, (-distance, neighbor))
                    if len(found) > ef:
                        heapq.heappop(found)
        return sorted((-distance, node) for distance, node in found)

    def select_neighbors_heuristic(self, candidates, M):
        """Choose links in different directions (Algorithm 4).

        Parameters
        ----------
        candidates : list of (squared distance to the base node, node), in any order
        M : int, at most so many are chosen

        Returns
        -------
        chosen : list of nodes, nearest to the base first. Going through the candidates from the nearest on, one is chosen if it is
            nearer to the base than to every node chosen before it (a tie may go either way), until there are M. What was passed
            over stays out, as in faiss and hnswlib. (The paper's option to fill free places up with the nearest passed-over nodes is
            accepted, too.)
        """
        chosen = []
        for distance, node in sorted(candidates):
            if len(chosen) == M:
                break
            if not chosen or distance < self._distance(self._rows[node], chosen).min():
                chosen.append(node)
        return chosen

    def insert(self, vector):
        """Insert one vector (dim,) float32 and return its node number (Algorithm 1).

        Its level is floor(-ln(U) / ln(M)), U uniform in (0, 1] from `self.random`. In each of its layers it is linked to at most M
        nodes, chosen by `select_neighbors_heuristic` from the `ef_construction` that `search_layer` finds, and each of them to it.
        One of them that then has more than M links (2M in layer 0) keeps those that `select_neighbors_heuristic` chooses, by their
        distances to that node. Keeps `entry_point` and `max_level` up to date. (`self._new_node(vector, level)` stores the vector.)
        """
        level = int(-math.log(1.0 - self.random.random()) / math.log(self.M))
        node = self._new_node(vector, level)
        nearest = [self.entry_point]
        for layer in range(self.max_level, level, -1):
            nearest = [n for _, n in self.search_layer(vector, nearest, 1, layer)]
        for layer in range(min(level, self.max_level), -1, -1):
            found = self.search_layer(vector, nearest, self.ef_construction, layer)
            self.links[node][layer] = self.select_neighbors_heuristic(found, self.M)
            limit = self.M if layer else 2 * self.M
            for other in self.links[node][layer]:
                known = self.links[other][layer]
                known.append(node)
                if len(known) > limit:
                    distances = self._distance(self._rows[other], known).tolist()
                    self.links[other][layer] = self.select_neighbors_heuristic(list(zip(distances, known)), limit)
            nearest = [n for _, n in found]
        if level > self.max_level:
            self.entry_point, self.max_level = node, level
        return node

    def search(self, queries, k, ef_search=50):
        """The k nearest vectors of each query that the graph leads to.

        Parameters
        ----------
        queries : (nq, dim) float array
        k : int >= 1
        ef_search : int, width of the search in layer 0; where it is smaller than k, k is used

        Returns
        -------
        distances : (nq, k) float32, squared L2, best first; inf where fewer than k were found
        ids : (nq, k) int64, nodes; -1 where fewer than k were found

        Raises
        ------
        ValueError: k < 1, or queries of another shape.
        """
        queries = np.asarray(queries, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries have shape {queries.shape}; this index takes (nq, {self.dim})")
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least one neighbour")
        distances = np.full((len(queries), k), np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        if self.entry_point < 0:
            return distances, ids
        for i, query in enumerate(queries):
            nearest = [self.entry_point]
            for layer in range(self.max_level, 0, -1):
                nearest = [node for _, node in self.search_layer(query, nearest, 1, layer)]
            found = self.search_layer(query, nearest, max(ef_search, k), 0)[:k]
            distances[i, : len(found)] = [distance for distance, _ in found]
            ids[i, : len(found)] = [node for _, node in found]
        return distances, ids
