"""Five vector databases behind the same five methods: create, upsert, search with a filter, delete, count.

The official clients are imported when a class is first used, so that none of them has to be installed for the others.
"""

from aieng.vectors.databases.base import (
    Collection,
    DatabaseError,
    Hit,
    IndexConfig,
    VectorDatabase,
)
from aieng.vectors.databases.chroma_database import ChromaDatabase
from aieng.vectors.databases.faiss_database import FaissDatabase
from aieng.vectors.databases.milvus_database import MilvusDatabase
from aieng.vectors.databases.pinecone_database import PineconeDatabase
from aieng.vectors.databases.recommend import Recommendation, Workload, recommend
from aieng.vectors.databases.weaviate_database import WeaviateDatabase

__all__ = [
    "ChromaDatabase",
    "Collection",
    "DatabaseError",
    "FaissDatabase",
    "Hit",
    "IndexConfig",
    "MilvusDatabase",
    "PineconeDatabase",
    "Recommendation",
    "VectorDatabase",
    "WeaviateDatabase",
    "Workload",
    "recommend",
]
